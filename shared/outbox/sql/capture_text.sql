-- The SQL text of one attachment, from which attach.sql writes its trigger functions.
-- In these texts r is a row of the table, o and w are a row before and after an UPDATE,
-- t is where an event goes (room, member), e is what an UPDATE means for one place.
-- "roomcast.n" is a row's position in the statement. A row as a whole has a name that no
-- chat's column has: an unqualified name means a column first.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- plain_types: types whose values have the same text under all settings.
create or replace function roomcast.plain_types() returns oid[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select array['uuid', 'text', 'varchar', 'bpchar', 'name', 'bool', 'int2', 'int4', 'int8', 'numeric', 'json', 'jsonb',
               'uuid[]', 'text[]', 'int4[]', 'int8[]']::regtype[]::oid[]
$$;

-- column_sql is a column whose value is converted into text. A column whose type needs no
-- settings is bound to that type by a CASE that the planner removes, at no cost. If the column
-- gets another type, the query no longer parses, and capture_row captures under all settings.
create or replace function roomcast.column_sql(a roomcast.attached_tables, alias text, column_name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce((select format('case when true then %s.%I else null::%s end', alias, column_name, t.atttypid::regtype)
                     from pg_attribute t
                    where t.attrelid = a.relation and t.attname = column_name and not t.attisdropped
                      and t.atttypid = any (roomcast.plain_types())),
                  format('%s.%I', alias, column_name))
$$;

-- columns_sql: the named columns of a row; member takes the place of the user column
-- where that is an array of users.
create or replace function roomcast.columns_sql(a roomcast.attached_tables, alias text, columns text[], member text default null) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(string_agg(format('%s as %I',
           case when member is not null and a.kind = 'members' and a.shape = 'array' and column_name = a.user_column then member
                else roomcast.column_sql(a, alias, column_name) end, column_name), ', ' order by position), '')
    from unnest(columns_sql.columns) with ordinality as c (column_name, position)
$$;

-- bare_columns_sql: the named columns of a row, to be compared.
create or replace function roomcast.bare_columns_sql(alias text, columns text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select coalesce(string_agg(format('%s.%I', alias, column_name), ', ' order by position), '')
    from unnest(bare_columns_sql.columns) with ordinality as c (column_name, position)
$$;

-- key_sql: the text that identifies a row, null if a part of it is null. Every key_hash is
-- computed from this. Members are identified by room and user.
create or replace function roomcast.key_sql(a roomcast.attached_tables, alias text, target text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when a.kind = 'members'
    then format('octet_length(%1$s.room) || '':'' || (%1$s.room collate "C") || (%1$s.member collate "C")', target)
    else (select string_agg(case when position < cardinality(a.ids)
                   then format('octet_length(%1$s::text) || '':'' || (%1$s::text collate "C")', id)
                   else format('(%1$s::text collate "C")', id) end, ' || ' order by position)
            from (select roomcast.column_sql(a, alias, i.id), i.position from unnest(a.ids) with ordinality as i (id, position)) as i (id, position)) end
$$;

-- key_of is the result of key_sql for a row whose ids are given: for operators.
create or replace function roomcast.key_of(ids text[], known jsonb) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select string_agg(case when position < cardinality(ids) then octet_length(known ->> id) || ':' else '' end || (known ->> id), '' order by position)
    from unnest(ids) with ordinality as i (id, position) having count(known ->> id) = cardinality(ids)
$$;

-- place_sql turns a text into the key of a room, or of a user's personal stream. Whatever
-- a chat user writes, a room's key never begins with a single @.
create or replace function roomcast.place_sql(a roomcast.attached_tables, value text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case when a.users is not null
    then format('case when lower(%1$s) ~ ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'' then ''@'' || lower(%1$s) end', value)
    else format('case when left(%1$s, 1) = ''@'' then ''@'' || %1$s else %1$s end', value) end
$$;

-- is_plain: does every value of this column make a room's key just as it is?
create or replace function roomcast.is_plain(relation regclass, column_name text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_attribute t
                  where t.attrelid = is_plain.relation and t.attname = is_plain.column_name and not t.attisdropped
                    and t.atttypid = any (array['uuid', 'int2', 'int4', 'int8']::regtype[]::oid[]))
$$;

-- room_sql: the key of the room that the room column names.
create or replace function roomcast.room_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when roomcast.is_plain(a.relation, a.room_column) then value else roomcast.place_sql(a, value) end
    from (select roomcast.column_sql(a, 'r', a.room_column) || '::text' as value) v
$$;

-- keys_sql: the array of the places to which row r goes, each once, where it may be several.
-- Null among them stands for a user who is none.
create or replace function roomcast.keys_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format($sql$array(select distinct %1$s from (select v::text as value from %2$s as s (v)) q where q.value is not null)$sql$,
    roomcast.place_sql(a, 'q.value'),
    format(case a.shape when 'array' then E'unnest(%s\n)' when 'query' then E'(%s\n)' else E'(select %s\n)' end, coalesce(a.room, a.users)))
$$;

-- targets_sql: a LATERAL that yields the places to which row r goes. With fallback, a row
-- without any goes to where it was sent last: the row that the look-up needs was deleted first.
create or replace function roomcast.targets_sql(a roomcast.attached_tables, fallback boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  place   constant text := roomcast.place_sql(a, 'q.value');
  nowhere text := case when a.users is not null then 'array[]::text[]'   -- nobody to tell
                       when a.shape = 'array'   -- an empty array says so, too; null is a fault
                       then format(E'case when (%s\n) is null then array[null::text] else array[]::text[] end', a.room)
                       else 'array[null::text]' end;
begin
  if a.kind = 'members' then
    return format(case when a.shape = 'array'
      then '(select %1$s as room, u.value::text as member from (select distinct m.value from unnest(r.%2$I) as m (value) where m.value is not null order by 1) u where (%3$s))'
      else '(select %1$s as room, %4$s::text as member where (%3$s))' end,
      roomcast.room_sql(a), a.user_column, coalesce(a.active, 'true'), roomcast.column_sql(a, 'r', a.user_column));
  end if;
  if a.room_column is not null then
    return format('(select %s as room, null::text as member)', roomcast.room_sql(a));
  end if;
  if a.shape = 'one' and not fallback then
    return format(E'(select %s as room, null::text as member from (select (%s\n)::text as value offset 0) q)', place, coalesce(a.room, a.users));
  end if;
  if fallback then
    nowhere := format('coalesce(nullif(roomcast.last_rooms(%1$s, hashtextextended(%2$s, %1$s)), ''{}''), %3$s)', a.id, roomcast.key_sql(a, 'r', null), nowhere);
  end if;
  return format($sql$(select u.room, null::text as member
     from (select %1$s as keys offset 0) k
    cross join lateral unnest(case when cardinality(k.keys) > 0 then k.keys else %2$s end) as u (room))$sql$,
    roomcast.keys_sql(a), nowhere);
end
$$;

-- diff_sql: a LATERAL that yields what an UPDATE means in each place: removed, new or changed
-- there. If a row has one place at most, no join is needed.
create or replace function roomcast.diff_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when a.shape = 'one' then format($sql$(
      select c.op, c.room, c.member, c.key
        from (select 1) as always left join lateral %1$s a on true left join lateral %2$s b on true
       cross join lateral (select a.room = b.room and a.key = b.key as same) s
       cross join lateral (
         select 'UPDATE' as op, b.room, b.member, b.key where s.same
         union all select 'DELETE', a.room, a.member, a.key where a.room is not null and s.same is not true
         union all select 'INSERT', b.room, b.member, b.key where b.here and s.same is not true) c)$sql$, places.was, places.is_now)
    else format($sql$(
      select case when a.here is null then 'INSERT' when b.here is null then 'DELETE' else 'UPDATE' end as op,
             coalesce(b.room, a.room) as room, coalesce(b.member, a.member) as member, coalesce(b.key, a.key) as key
        from (select * from %1$s x where x.room is not null) a full join %2$s b on a.room = b.room and a.key = b.key)$sql$, places.was, places.is_now) end
    from (select format('(select true as here, t.room, t.member, %s as key from (select o.*) r cross join lateral %s t)',
                        roomcast.key_sql(a, 'r', 't'), roomcast.targets_sql(a, false)) as was,
                 format('(select true as here, t.room, t.member, %s as key from (select w.*) r cross join lateral %s t)',
                        roomcast.key_sql(a, 'r', 't'), roomcast.targets_sql(a, false)) as is_now) places
$$;

-- events_sql: FROM and WHERE of the events of one statement. Its rows come from old_rows
-- and new_rows, which an UPDATE pairs by their position; more is joined to each event.
create or replace function roomcast.events_sql(a roomcast.attached_tables, op text, old_rows text, new_rows text, pairing text, more text default '')
returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case op
    when 'INSERT' then format('%s r cross join lateral %s e %s where true', new_rows, roomcast.targets_sql(a, false), more)
    when 'DELETE' then format('%s r cross join lateral %s e %s where true', old_rows,
                              roomcast.targets_sql(a, a.room_column is null and a.kind = 'rows'), more)
    else format('%s o %s %s w on w."roomcast.n" = o."roomcast.n"
      cross join lateral (select %s) "roomcast.was" cross join lateral (select %s) "roomcast.is"
      cross join lateral %s e %s
      where "roomcast.was" *<> "roomcast.is"
        and (e.op <> ''UPDATE'' or (select "roomcast.row" from (select %s) "roomcast.row") *<> (select "roomcast.row" from (select %s) "roomcast.row"))', old_rows, pairing, new_rows,
      roomcast.bare_columns_sql('o', a.watched), roomcast.bare_columns_sql('w', a.watched), roomcast.diff_sql(a), more,
      roomcast.bare_columns_sql('o', told.columns), roomcast.bare_columns_sql('w', told.columns)) end
    from (select array(select c from unnest(a.columns) c where not (a.kind = 'members' and a.shape = 'array' and c = a.user_column)) as columns) told
$$;

-- is_big_sql: there are more bytes in the relayed columns than a record takes; told
-- without converting them.
create or replace function roomcast.is_big_sql(a roomcast.attached_tables, alias text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(string_agg(format('coalesce(pg_column_size(%s.%I), 0)', alias, t.attname), ' + ' order by t.attnum) || ' > 262144', 'false')
    from pg_attribute t
   where t.attrelid = a.relation and t.attname = any (a.columns) and t.attlen = -1 and t.attnum > 0 and not t.attisdropped
$$;

-- captured_sql: the query that yields one statement's roomcast.captured, as far as they
-- are only_if. A row of over 256 kB is a stub: what identifies it, and no more; with stubs,
-- all are.
create or replace function roomcast.captured_sql(
  a roomcast.attached_tables, op text, old_rows text, new_rows text, pairing text, only_if text default 'true', stubs boolean default false)
returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  new_row constant text := case op when 'UPDATE' then 'w' else 'r' end;
  old_row constant text := case op when 'UPDATE' then 'o' else 'r' end;
  has_old constant boolean := a.old is not null and op <> 'INSERT';
  ids     text := roomcast.columns_sql(a, new_row, a.keys, 'e.member');
begin
  if op = 'UPDATE' then
    ids := (select string_agg(case when a.kind = 'members' and a.shape = 'array' and key = a.user_column then format('e.member as %I', key)
                                   else format('case when e.op = ''DELETE'' then %s else %s end as %I',
                                               roomcast.column_sql(a, 'o', key), roomcast.column_sql(a, 'w', key), key) end, ', ' order by i)
              from unnest(a.keys) with ordinality as k (key, i));
  end if;
  return format($sql$
    select q.n, q.op, q.room, hashtextextended(q.key, %1$s),
           case when octet_length(q.json) <= 262144 then q.json else row_to_json(q.ids)::text end,
           %2$s, q.op <> 'DELETE' and coalesce(octet_length(q.json), 262145) > 262144, q.member
      from (select %3$s."roomcast.n" as n, %4$s as op, e.room, e.member, %5$s as key, "roomcast.ids" as ids,
                   %6$s as json, %7$s as old
              from %8$s and (%9$s)
            offset 0) q$sql$,
    a.id,
    case when has_old then 'case when octet_length(q.old) <= 262144 then q.old end' else 'null::text' end,
    new_row,
    case op when 'UPDATE' then 'e.op' else quote_literal(op) end,
    case op when 'UPDATE' then 'e.key' else roomcast.key_sql(a, 'r', 'e') end,
    case when stubs or op = 'DELETE' then 'null::text'
         when op = 'INSERT' then format('case when not (%s) then row_to_json("roomcast.row")::text end', roomcast.is_big_sql(a, new_row))
         else format('case when e.op <> ''DELETE'' and not (%s) then row_to_json("roomcast.row")::text end', roomcast.is_big_sql(a, new_row)) end,
    case when has_old then 'row_to_json("roomcast.old")::text' else 'null::text' end,
    roomcast.events_sql(a, op, old_rows, new_rows, pairing,
      format(' cross join lateral (select %s) "roomcast.ids"', ids)
      || case op when 'DELETE' then '' else format(' cross join lateral (select %s) "roomcast.row"', roomcast.columns_sql(a, new_row, a.columns, 'e.member')) end
      || case when has_old then format(' cross join lateral (select %s) "roomcast.old"', roomcast.columns_sql(a, old_row, a.old)) else '' end),
    only_if);
end
$$;

commit;
