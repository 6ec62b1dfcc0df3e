-- How a table is attached: one way for all kinds.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- attach_as is what attach, attach_messages and attach_members share. It takes a short
-- lock on the table, and gives up after three seconds rather than queue the chat behind it.
create or replace function roomcast.attach_as(
  kind text, table_name text, name text, room text, users text, user_column text, active text,
  columns text[], ids text[], old text[])
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  tbl      constant regclass := roomcast.table_named(table_name);
  row_wise constant boolean  := roomcast.need_table(tbl);
  place    record;
  a        roomcast.attached_tables;
begin
  perform roomcast.need_owner();
  if attach_as.name is null or attach_as.name !~ '^[a-z][a-z0-9_-]{0,49}$' then
    raise exception 'name: must be a word in lower case, as reaction' using errcode = 'invalid_name';
  end if;
  ids := coalesce(ids, roomcast.default_ids(tbl));
  if coalesce(cardinality(ids), 0) = 0 then
    raise exception 'ids: % has no primary key; name the columns that identify a row', tbl using errcode = 'invalid_parameter_value';
  end if;
  perform roomcast.need_columns(tbl, 'columns', columns);
  perform roomcast.need_columns(tbl, 'ids', ids);
  perform roomcast.need_columns(tbl, 'old', old);
  if not columns @> ids then
    raise exception 'columns: must include %, which identify a row', ids using errcode = 'invalid_parameter_value';
  end if;
  if not columns @> old then
    raise exception 'old: must be among columns' using errcode = 'invalid_parameter_value';
  end if;
  if exists (select from roomcast.attached_tables t where t.relation = tbl and t.name = attach_as.name and t.kind <> attach_as.kind) then
    raise exception 'name: % is attached as % in another way', tbl, attach_as.name
      using errcode = 'duplicate_object', hint = format('roomcast.detach(%L, %L) first, or take another name.', tbl, attach_as.name);
  end if;
  place := roomcast.inspect(tbl, case when users is null then 'room' else 'users' end, coalesce(users, room));
  if place.shape = 'query' and (select t.typcategory from pg_type t where t.oid = place.type) = 'A' then
    room := format(E'select unnest(s.v) from (%s\n) as s (v)', room);
    users := format(E'select unnest(s.v) from (%s\n) as s (v)', users);
  end if;

  a.relation := tbl;  a.name := attach_as.name;  a.kind := attach_as.kind;
  a.room := room;  a.users := users;  a.shape := place.shape;  a.row_wise := row_wise;
  a.room_column := case when users is null then place.column_name end;
  a.user_column := user_column;  a.active := active;
  a.columns := columns;  a.ids := ids;  a.old := nullif(old, '{}');
  a.keys := ids || case when (columns is null or a.room_column = any (columns)) and a.room_column <> all (ids) then array[a.room_column::text] end;
  a.uses := place.uses;
  if kind = 'members' then
    a.shape := case when roomcast.is_array(tbl, user_column) then 'array' else 'one' end;
    a.uses := a.uses || user_column || case when active is not null then (roomcast.inspect(tbl, 'active', active)).uses end;
  end if;
  insert into roomcast.attached_tables as t (relation, name, kind, room, users, shape, row_wise, room_column, user_column,
                                             active, columns, ids, old, keys, uses, numbers, known_as)
  values (a.relation, a.name, a.kind, a.room, a.users, a.shape, a.row_wise, a.room_column, a.user_column,
          a.active, a.columns, a.ids, a.old, a.keys, a.uses, roomcast.numbers_of(tbl),
          (select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = tbl))
  on conflict on constraint one_name_per_table do update
     set room = excluded.room, users = excluded.users, shape = excluded.shape, row_wise = excluded.row_wise,
         room_column = excluded.room_column, user_column = excluded.user_column, active = excluded.active,
         columns = excluded.columns, ids = excluded.ids, old = excluded.old, keys = excluded.keys, uses = excluded.uses,
         numbers = excluded.numbers, known_as = excluded.known_as,
         attached_at = now(), detached_at = null
  returning * into a;
  perform roomcast.try_capture(roomcast.present(a));
  perform roomcast.write_capture(a);
  perform roomcast.drop_leftovers(tbl, a.id);
  perform roomcast.make_triggers(a);
  perform roomcast.write_is_member();
end
$$;

-- try_capture runs an attachment's queries over no rows: what they cannot do is told now.
create or replace function roomcast.try_capture(a roomcast.attached_tables) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  rows constant text := format('(select 1::bigint as "roomcast.n", s.* from only %s s limit 0)', a.relation);
  op   text;
begin
  foreach op in array array['INSERT', 'UPDATE', 'DELETE'] loop
    execute roomcast.captured_sql(a, op, rows, rows, 'full join');
  end loop;
exception when others then
  raise exception 'columns, room, users: % cannot be captured so: %', a.relation, sqlerrm using errcode = sqlstate;
end
$$;

create or replace function roomcast.is_array(tbl regclass, name text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select t.typcategory = 'A' from pg_attribute c join pg_type t on t.oid = c.atttypid where c.attrelid = tbl and c.attname = is_array.name
$$;

-- capture_end makes one event of what a statement wrote by the row, if it was much.
create or replace function roomcast.capture_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'UPDATE' then
    perform roomcast.count_updates(-1);
  end if;
  perform roomcast.collapse(tg_argv[0]::int, tg_op, statement_timestamp());
  return null;
end
$$;

create or replace function roomcast.drop_triggers(a roomcast.attached_tables) returns void
language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
declare
  tbl    regclass;
  suffix text;
begin
  foreach tbl in array a.relation || a.children loop
    perform roomcast.drop_triggers_on(a.id, tbl);
  end loop;
  foreach suffix in array array['insert', 'update', 'delete'] loop
    execute format('drop function if exists roomcast.capture_%s_%s()', a.id, suffix);
  end loop;
end
$$;

-- repair_captures writes the functions of those tables again whose columns have changed
-- since, goes on with renamed columns, and with tables that were dropped and restored. One
-- that cannot be repaired keeps no other from it.
create or replace function roomcast.repair_captures() returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a roomcast.attached_tables;
  n int := 0;
begin
  for a in select * from roomcast.attached_tables t
            where t.relation <> all (array['roomcast.revocations', 'roomcast.presence', 'roomcast.outbox']::regclass[])
              and (t.detached_at is null and t.fingerprint is distinct from roomcast.fingerprint(t.relation)
                   or t.detached_at is not null and t.known_as <> '' and not exists (select from pg_class c where c.oid = t.relation)) loop
    begin
      n := n + roomcast.repair_capture(a)::int;
    exception when others then
      raise log 'roomcast: % (%): % (SQLSTATE %)', a.known_as, a.name, sqlerrm, sqlstate;
    end;
  end loop;
  if n > 0 then
    perform roomcast.write_is_member();
  end if;
  return n;
end
$$;

-- repair_capture does so for one. It waits for no lock of the chat's, unless a dump has left
-- a trigger out.
create or replace function roomcast.repair_capture(a roomcast.attached_tables) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  restored regclass;
begin
  if exists (select from pg_class c where c.oid = a.relation) then
    a := roomcast.renamed(a);
    update roomcast.attached_tables t
       set room = a.room, room_column = a.room_column, user_column = a.user_column, columns = a.columns, ids = a.ids,
           old = a.old, keys = a.keys, uses = a.uses, numbers = a.numbers
     where t.id = a.id;
    perform roomcast.write_capture(a);
    return true;
  end if;
  restored := roomcast.restored_as(a);
  if restored is not null then
    update roomcast.attached_tables t
       set relation = restored, row_wise = roomcast.need_table(restored), children = '{}', numbers = roomcast.numbers_of(restored), detached_at = null
     where t.id = a.id returning t.* into a;
    perform roomcast.write_capture(a);
    if not roomcast.has_triggers(a, restored) then
      perform roomcast.make_triggers(a);
    end if;
    return true;
  elsif a.detached_at is null then   -- its functions stay, for a dump to find them
    update roomcast.attached_tables t set detached_at = now() where t.id = a.id;
    return true;
  elsif a.detached_at < now() - interval '30 days' then
    perform roomcast.drop_triggers(a);
    update roomcast.attached_tables t set known_as = '' where t.id = a.id;
  end if;
  return false;
end
$$;

-- restored_as is the table that a dump has made in the place of an attached one that was
-- dropped: of its name, with a trigger of this attachment. Nobody else could make that.
create or replace function roomcast.restored_as(a roomcast.attached_tables) returns regclass
language sql stable set search_path = pg_catalog, pg_temp as $$
  select c.oid::regclass
    from pg_class c
   where c.oid = to_regclass(nullif(a.known_as, '')) and c.relkind in ('r', 'p')
     and exists (select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
                  where t.tgrelid = c.oid and p.pronamespace = 'roomcast'::regnamespace and p.proname ~ format('^capture_%s_(insert|update|delete)$', a.id))
     and not exists (select from roomcast.attached_tables o where o.relation = c.oid and o.name = a.name)
$$;

-- drop_leftovers takes triggers of ours from a table that are of no attachment of it: a dump
-- of another database, or of another time, brought them. An attachment of a table that was
-- dropped gives way to the one of its successor.
create or replace function roomcast.drop_leftovers(tbl regclass, attached int) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  leftover name;
  former   roomcast.attached_tables;
begin
  for leftover in
    select t.tgname from pg_trigger t
     where t.tgrelid = tbl and t.tgparentid = 0 and t.tgname ~ E'^roomcast_\\d+_(insert|update|delete|begin|end|truncated?)$'
       and not exists (select from roomcast.attached_tables a where a.id::text = split_part(t.tgname, '_', 2) and a.detached_at is null
                          and (a.relation = tbl or tbl = any (roomcast.children_of(a.relation))))
  loop
    execute format('drop trigger %I on %s', leftover, tbl);
  end loop;
  for former in
    update roomcast.attached_tables t set known_as = '', detached_at = coalesce(t.detached_at, now())
     where (t.known_as, t.name) = (select x.known_as, x.name from roomcast.attached_tables x where x.id = drop_leftovers.attached) and t.id <> drop_leftovers.attached and not exists (select from pg_class c where c.oid = t.relation)
    returning t.*
  loop
    perform roomcast.drop_triggers(former);
  end loop;
end
$$;

-- fingerprint changes with a table's name and columns, and when it gets a trigger that may
-- write to it again.
create or replace function roomcast.fingerprint(relation regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select md5(c.relnamespace || ' ' || c.relname || roomcast.nests(c.oid) || string_agg(a.attnum || a.attname || ' ' || a.atttypid || ' ' || a.attcollation || a.attgenerated::text, ',' order by a.attnum))
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   where c.oid = fingerprint.relation group by c.oid
$$;

-- What these files wrote before is written again, as they are now.
select roomcast.write_capture(a) from roomcast.attached_tables a join pg_class c on c.oid = a.relation
 where a.detached_at is null order by a.id;
select roomcast.write_is_member();

commit;
