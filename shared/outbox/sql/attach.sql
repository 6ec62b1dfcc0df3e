-- Which tables are relayed, and what membership in them means. Run by the owner.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- remake_is_member writes roomcast.is_member(room, user) again from the attached
-- members tables, so that its plans are cached and its comparisons use their indexes.
-- A room or user id that the table's type cannot hold belongs to nobody.
create or replace function roomcast.remake_is_member() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  looks text := '';
  s     roomcast.attached_tables;
begin
  for s in select * from roomcast.attached_tables where kind = 'members' and detached_at is null order by id loop
    looks := looks || format($look$
  begin
    if exists (select from %s m where m.%I = $1::%s and m.%I = $2::%s) then
      return true;
    end if;
  exception when data_exception then
    null;
  end;$look$,
      s.relation,
      s.room_column, roomcast.column_type(s.relation, s.room_column),
      s.user_column, roomcast.column_type(s.relation, s.user_column));
  end loop;
  execute format($make$
create or replace function roomcast.is_member(room text, user_id uuid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $f$
begin%s
  return false;
end
$f$;
revoke all on function roomcast.is_member(text, uuid) from public;
$make$, looks);
end
$$;

create or replace function roomcast.column_type(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format_type(a.atttypid, a.atttypmod) from pg_attribute a
   where a.attrelid = $1 and a.attname = $2 and a.attnum > 0 and not a.attisdropped
$$;

-- table_named finds a table by its name; without a schema it is one of public's.
create or replace function roomcast.table_named(name text) returns regclass
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  tbl constant regclass := to_regclass(case when strpos($1, '.') = 0 then 'public.' || $1 else $1 end);
begin
  if tbl is null then
    raise exception 'table_name: there is no table %', $1 using errcode = 'undefined_table';
  end if;
  return tbl;
end
$$;

-- attach is what attach_messages and attach_members share. It takes a short lock on
-- the table, and gives up after three seconds rather than queue the chat behind it.
create or replace function roomcast.attach(
  table_name text, kind text, room_column text, user_column text, columns text[], ids text[])
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
#variable_conflict use_variable
declare
  tbl  regclass := roomcast.table_named(table_name);
  col  text;
  s    roomcast.attached_tables;
begin
  if (select relkind from pg_class c where c.oid = tbl) not in ('r', 'p') then
    raise exception 'table_name: % is not a table', table_name using errcode = 'wrong_object_type';
  end if;
  foreach col in array array_remove(array[room_column, user_column] || columns || ids, null) loop
    if roomcast.column_type(tbl, col) is null then
      raise exception 'columns: % has no column %', tbl, col using errcode = 'undefined_column';
    end if;
  end loop;
  if coalesce(cardinality(ids), 0) = 0 then
    raise exception 'ids: % has no primary key; name the columns that identify a row', tbl
      using errcode = 'invalid_parameter_value';
  end if;
  if columns is not null and not columns @> ids then
    raise exception 'columns: must include %, which identify a row', ids using errcode = 'invalid_parameter_value';
  end if;

  insert into roomcast.attached_tables as s (relation, kind, room_column, user_column, columns, keys)
  values (tbl, kind, room_column, user_column, columns,
          case when columns is null or room_column = any (columns) then ids || array_remove(array[room_column], ids[1]) else ids end)
  on conflict on constraint attached_once do update
     set kind = excluded.kind, room_column = excluded.room_column, user_column = excluded.user_column,
         columns = excluded.columns, keys = excluded.keys, attached_at = now(), detached_at = null
  returning * into s;

  perform roomcast.remake_capture(s);
  execute format('create or replace trigger roomcast_capture after insert or update or delete on %s '
                 'for each row execute function roomcast.capture_%s()', tbl, s.id);
  if kind = 'messages' then
    execute format('create or replace trigger roomcast_truncate after truncate on %s '
                   'for each statement execute function roomcast.capture_truncate(%L)', tbl, s.id);
  end if;
  perform roomcast.remake_is_member();
end
$$;

-- attach_messages relays a table of chat messages. room_column names the room; columns
-- are those that may leave the database (null: all); ids are those that identify a row
-- (null: the primary key). Attaching again changes the choice.
create or replace function roomcast.attach_messages(
  table_name text, room_column text default 'room_id', columns text[] default null, ids text[] default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.attach($1, 'messages', $2, null, $3, coalesce($4, (
    select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum))
      from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
     where i.indrelid = roomcast.table_named($1) and i.indisprimary)));
end
$$;

-- attach_members relays membership and makes it the default answer of can_read. One
-- row is one user in one room.
create or replace function roomcast.attach_members(
  table_name text, room_column text default 'room_id', user_column text default 'user_id', columns text[] default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.attach($1, 'members', $2, $3, $4, array[$2, $3]);
end
$$;

-- detach stops relaying a table. What it has already put into the outbox is still sent.
create or replace function roomcast.detach(table_name text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  tbl constant regclass := roomcast.table_named($1);
begin
  execute format('drop trigger if exists roomcast_capture on %s', tbl);
  execute format('drop trigger if exists roomcast_truncate on %s', tbl);
  update roomcast.attached_tables set detached_at = now() where relation = tbl and detached_at is null;
  perform roomcast.remake_is_member();
end
$$;

select roomcast.remake_is_member();

commit;
