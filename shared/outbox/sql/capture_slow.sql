-- Capture when the fast way failed: row by row, by what the catalog says now; and statements
-- that are not about rows.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- renamed is an attachment with the names that its columns have now.
create or replace function roomcast.renamed(a roomcast.attached_tables) returns roomcast.attached_tables
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  names constant jsonb := (
    select jsonb_object_agg(n.key, t.attname)
      from jsonb_each_text(a.numbers) n
      join pg_attribute t on t.attrelid = a.relation and t.attnum = n.value::int and not t.attisdropped
     where t.attname <> n.key and roomcast.column_type(a.relation, n.key) is null);
begin
  if names is null then
    return a;
  end if;
  if names ? a.room_column::text then
    a.room := format('r.%I', names ->> a.room_column::text);
  end if;
  a.room_column := coalesce(names ->> a.room_column::text, a.room_column);
  a.user_column := coalesce(names ->> a.user_column::text, a.user_column);
  a.columns := (select array_agg(coalesce(names ->> c, c) order by i) from unnest(a.columns) with ordinality as u (c, i));
  a.ids     := (select array_agg(coalesce(names ->> c, c) order by i) from unnest(a.ids) with ordinality as u (c, i));
  a.old     := (select array_agg(coalesce(names ->> c, c) order by i) from unnest(a.old) with ordinality as u (c, i));
  a.keys    := (select array_agg(coalesce(names ->> c, c) order by i) from unnest(a.keys) with ordinality as u (c, i));
  a.uses    := (select array_agg(coalesce(names ->> c, c) order by i) from unnest(a.uses) with ordinality as u (c, i));
  a.numbers := roomcast.numbers_of(a.relation);
  return a;
end
$$;

create or replace function roomcast.numbers_of(relation regclass) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  select jsonb_object_agg(t.attname, t.attnum) from pg_attribute t
   where t.attrelid = numbers_of.relation and t.attnum > 0 and not t.attisdropped
$$;

-- present is an attachment as its table is now: with all columns if all may leave the
-- database, and without columns that no longer exist; watched are those whose change makes an
-- event. Columns that identify a row stay in: without them the row cannot be told from others.
create or replace function roomcast.present(a roomcast.attached_tables) returns roomcast.attached_tables
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  there constant text[] := array(select t.attname::text from pg_attribute t
    where t.attrelid = a.relation and t.attnum > 0 and not t.attisdropped and t.attgenerated <> 'v' order by t.attnum);
begin
  a := roomcast.renamed(a);
  a.columns := case when a.columns is null then there else array(select c from unnest(a.columns) c where c = any (there)) end;
  a.watched := array(select c from unnest(there) c where c = any (a.columns || a.ids || a.uses || a.old));
  a.keys    := array(select c from unnest(a.keys) c where c = any (there));
  a.old     := nullif(array(select c from unnest(a.old) c where c = any (there)), '{}');
  return a;
end
$$;

-- capture_row captures one changed row: as it should be, without the columns that are no
-- longer there; else as a stub; else it is counted as unroutable with the reason. The
-- blocks write nothing. The row's type is the table's.
create or replace function roomcast.capture_row(attached int, op text, new_row anyelement, old_row anyelement) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1 as $$
declare
  a      roomcast.attached_tables;
  taken  roomcast.captured[];
  reason text;
begin
  select * into a from roomcast.attached_tables x where x.id = capture_row.attached;
  begin
    a := roomcast.present(a);
    taken := roomcast.captured_of(a, op, new_row, old_row);
  exception when others or assert_failure then
    begin
      a.old := null;
      taken := roomcast.captured_of(a, op, new_row, old_row, stubs => true);
    exception when others or assert_failure then
      reason := sqlerrm;
    end;
  end;
  if taken is null then
    perform roomcast.note_unroutable(attached, op, reason);
  else
    perform roomcast.enqueue(attached, a.kind, taken, null, op = 'DELETE');
  end if;
  return true;
end
$$;

create or replace function roomcast.captured_of(a roomcast.attached_tables, op text, new_row anyelement, old_row anyelement, stubs boolean default false)
returns roomcast.captured[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  taken roomcast.captured[];
begin
  execute format('select array(select row(c.*)::roomcast.captured from (%s) c)',
      roomcast.captured_sql(a, op, '(select 1::bigint as "roomcast.n", ($2).*)', '(select 1::bigint as "roomcast.n", ($1).*)', 'join', stubs => captured_of.stubs))
    into taken using new_row, old_row;
  return taken;
end
$$;

-- rows_sql is the query by which a statement's trigger function has its rows captured one
-- by one: $2 of them from the $1st on. It returns how many there were.
create or replace function roomcast.rows_sql(attached int, relation oid, op text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format(case op
    when 'INSERT' then $q$select count(roomcast.capture_row(%1$s, 'INSERT', b.row, null))
      from (select row(s.*)::%2$s as row from new_rows s offset $1 - 1 limit $2) b$q$
    when 'DELETE' then $q$select count(roomcast.capture_row(%1$s, 'DELETE', null, b.row))
      from (select row(s.*)::%2$s as row from old_rows s offset $1 - 1 limit $2) b$q$
    else $q$select count(roomcast.capture_row(%1$s, 'UPDATE', b.row, a.row))
      from (select row_number() over () as n, row(s.*)::%2$s as row from new_rows s offset $1 - 1 limit $2) b
      join (select row_number() over () as n, row(s.*)::%2$s as row from old_rows s offset $1 - 1 limit $2) a using (n)$q$ end,
    attached, relation::regclass)
$$;

-- mark is the value that one trigger leaves for another in a setting of the session. A chat
-- user in a SQL session can set that, too, but cannot make a mark that is valid in this
-- transaction.
create or replace function roomcast.mark(what text) returns text
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select ' ' || encode(sha256(convert_to(concat_ws(' ', s.nonce, pg_current_xact_id(), mark.what), 'UTF8')), 'hex') || ' '
    from roomcast.settings s
$$;

-- is_updating: may a row be moving between partitions? Triggers before and after each UPDATE
-- count how many are under way: a row that is deleted beside them need not be looked for in
-- all other partitions.
create or replace function roomcast.is_updating() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(current_setting('roomcast.updating', true), '') not in ('', '0')
$$;
create or replace function roomcast.count_updates(more int) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  under_way constant text := current_setting('roomcast.updating', true);
begin
  perform set_config('roomcast.updating', greatest(0, case when under_way ~ E'^\\d{1,6}$' then under_way::int else 0 end + more)::text, true);
end
$$;
create or replace function roomcast.capture_begin() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.count_updates(1);
  return null;
end
$$;

-- note_moved and was_moved pass a note from the DELETE to the INSERT by which Postgres moves a
-- row between partitions. The note is read once, and ends with the transaction.
create or replace function roomcast.note_moved(key_hash bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('roomcast.moved', concat(current_setting('roomcast.moved', true), roomcast.mark('moved ' || key_hash)), true);
end
$$;
create or replace function roomcast.was_moved(key_hash bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  moved constant text := coalesce(current_setting('roomcast.moved', true), '');
  this  text;
begin
  if moved = '' then   -- nearly always
    return false;
  end if;
  this := roomcast.mark('moved ' || key_hash);
  if strpos(moved, this) = 0 then
    return false;
  end if;
  perform set_config('roomcast.moved', replace(moved, this, ''), true);
  return true;
end
$$;

-- may_skip: roomcast.capture = 'off' is valid for the schema's owner and for members of that
-- role, not for a chat user in a SQL session. Its use is noted, or the audit would report the
-- rows as missing.
create or replace function roomcast.may_skip(attached int, op text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  caller constant text := coalesce(nullif(current_setting('role'), 'none'), session_user);
  owner  constant oid  := (select n.nspowner from pg_namespace n where n.nspname = 'roomcast');
begin
  if not pg_has_role(caller, owner, 'member') then
    return false;
  end if;
  insert into roomcast.capture_skips (attached) select may_skip.attached where op <> 'DELETE';
  return true;
end
$$;

commit;
