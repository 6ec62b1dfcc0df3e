-- Who is a member: attach_members, is_member.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- leaving_columns are those by which a member may have left, or be banned, though the row
-- stays; and what active would say of them. setup knows names like these before there is a
-- schema.
create or replace function roomcast.leaving_columns(tbl regclass) returns table (name text, active text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select a.attname::text,
         case when t.typcategory = 'D' then format('%I is null', a.attname)
              when t.typcategory <> 'B' then format('%I = ''…''', a.attname)
              when roomcast.plain_name(a.attname) in ('is_active', 'active', 'is_member') then format('%I', a.attname)
              else format('%I is not true', a.attname) end
    from pg_attribute a join pg_type t on t.oid = a.atttypid
   where a.attrelid = tbl and a.attnum > 0 and not a.attisdropped
     and roomcast.plain_name(a.attname) in (
           'left_at', 'removed_at', 'deleted_at', 'kicked_at', 'banned_at', 'ended_at', 'revoked_at', 'exited_at', 'status', 'state', 'is_active', 'active', 'is_member',
           'left', 'has_left', 'removed', 'is_removed', 'deleted', 'is_deleted', 'kicked', 'is_kicked', 'banned', 'is_banned')
   order by a.attnum
$$;

-- attach_members relays membership and makes it the default answer of can_read. A row is
-- one user in one room, or, where user_column is an array, all users of one. active is
-- SQL over the row r: rows for which it is not true make nobody a member, so leaving may
-- be an UPDATE. columns: the room and the user, and no more, unless more are named.
create or replace function roomcast.attach_members(
  table_name text, room_column text default 'room_id', user_column text default 'user_id',
  columns text[] default null, active text default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  tbl     constant regclass := roomcast.table_named(table_name);
  leaving text[];
begin
  perform roomcast.need_table(tbl);
  perform roomcast.need_columns(tbl, 'room_column', array[room_column]);
  perform roomcast.need_columns(tbl, 'user_column', array[user_column]);
  perform roomcast.attach_as('members', table_name, 'member', format('r.%I', room_column), null, user_column, active,
    coalesce(attach_members.columns, array[room_column, user_column]), array[room_column, user_column], null);
  leaving := array(
    select l.name from roomcast.leaving_columns(tbl) l where coalesce(attach_members.active, '') !~ (E'\\m' || l.name || E'\\M'));
  if cardinality(leaving) > 0 then
    raise warning 'active: % has %, of which active says nothing: do those who left read on?', tbl, array_to_string(leaving, ', ')
      using hint = format('roomcast.attach_members(%L, …, active => %L)', tbl,
                          (select string_agg(l.active, ' and ') from roomcast.leaving_columns(tbl) l where l.name = any (leaving)));
  end if;
  if roomcast.type_without_uuids(tbl, user_column) is not null then
    raise warning 'user_column: %.% is %: nobody is a member by it, since tokens have the uuid of auth.users', tbl, user_column, roomcast.type_without_uuids(tbl, user_column)
      using hint = 'Keep the uuid in a column beside it: infra/MOVING.md, Members.';
  end if;
end
$$;

-- write_is_member writes roomcast.is_member(room, user) from the attached members tables,
-- so that its plans are cached and its comparisons use their indexes. A room's text must
-- be the column's own: nothing that a cast would cut or tidy into it. A room or user id
-- that the table's type cannot hold belongs to nobody. A table that has changed its name
-- or columns is asked by way of the catalog until this is written again. are_members answers
-- many questions in one query, and raises where is_member catches. Both look members up by
-- index, though a session may plan them while the table is empty: without the settings, and
-- member_sql's offset 0, each call then read all rows that came later, until an analyze.
create or replace function roomcast.write_is_member() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  looks text := '';
  all_looks text;
  a     roomcast.attached_tables;
begin
  for a in select t.* from roomcast.attached_tables t join pg_class c on c.oid = t.relation
            where t.kind = 'members' and t.detached_at is null order by t.id loop
    looks := looks || format($look$
  begin
    if %s then
      return true;
    end if;
  exception
    when data_exception or integrity_constraint_violation then null;   -- of a domain, too
    when syntax_error_or_access_rule_violation or invalid_schema_name then
      if roomcast.is_member_of(%s, is_member.room, is_member.user_id) then
        return true;
      end if;
  end;$look$,
      coalesce(roomcast.member_sql(roomcast.renamed(a), 'is_member.room', 'is_member.user_id'), 'false'), a.id);
  end loop;
  execute format($make$
create or replace function roomcast.is_member(room text, user_id uuid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off as $f$
begin%s
  return false;
end
$f$;
revoke all on function roomcast.is_member(text, uuid) from public;
$make$, looks);
  select string_agg(coalesce(roomcast.member_sql(roomcast.renamed(t), 'q.room', 'q.user_id'), 'false'), ' or ' order by t.id) into all_looks
    from roomcast.attached_tables t join pg_class c on c.oid = t.relation
   where t.kind = 'members' and t.detached_at is null;
  execute format($make$
create or replace function roomcast.are_members(rooms text[], users uuid[]) returns boolean[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $f$
begin
  return array(
    select %s from unnest(are_members.rooms, are_members.users) with ordinality as q (room, user_id, nth) order by q.nth);
end
$f$;
revoke all on function roomcast.are_members(text[], uuid[]) from public;
$make$, coalesce(all_looks, 'false'));
end
$$;

-- lists_sql is a query over all attached members tables: what of its rows, which r are, where
-- wanted is.
create or replace function roomcast.lists_sql(what text, wanted text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(string_agg(format(E'select %s from %s r%s where %s and (%s\n)',
           replace(replace(what, '{room}', format('r.%I::text', a.room_column)), '{user}', users.value), a.relation, users.source,
           replace(replace(replace(replace(replace(replace(wanted, '{room}', roomcast.value_sql(a.relation, 'r', a.room_column)), '{user}', users.value),
             '{room_equals}', roomcast.equals_sql(a.relation, a.room_column)), '{user_equals}', roomcast.equals_sql(a.relation, a.user_column)),
             '{room_type}', roomcast.value_type(a.relation, a.room_column)), '{user_type}', users.type),
           coalesce(a.active, 'true')), ' union '), null)
    from roomcast.attached_tables a join pg_class c on c.oid = a.relation
    cross join lateral (select case when a.shape = 'array' then 'u.value' else format('r.%I', a.user_column) end as value,
                               case when a.shape = 'array' then format(' cross join lateral unnest(r.%I) as u (value)', a.user_column) else '' end as source,
                               roomcast.value_type(a.relation, a.user_column) as type) users
   where a.kind = 'members' and a.detached_at is null
     and roomcast.column_type(a.relation, a.room_column) is not null and users.type is not null
$$;

-- members_of lists the members of a room that are uuids; rooms_of the ids of a user's rooms.
create or replace function roomcast.members_of(room text) returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  query constant text := roomcast.lists_sql('{user}::text::uuid', '{room} {room_equals} $1::{room_type} and {room}::text = $1 and {user} is not null');
begin
  if query is not null then
    return query execute query using room;
  end if;
exception when data_exception or integrity_constraint_violation then
  return;
end
$$;
create or replace function roomcast.rooms_of(user_id uuid) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  query constant text := roomcast.lists_sql('{room}', '{user} {user_equals} $1::text::{user_type} and {room} is not null');
begin
  if query is not null then
    return query execute query using user_id;
  end if;
end
$$;

-- member_sql asks one members table. Null where a column it needs is gone. Its offset keeps
-- the planner from hashing the whole table.
create or replace function roomcast.member_sql(a roomcast.attached_tables, room text, user_id text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format(case when a.shape = 'array'
      then E'exists (select from %1$s r where %2$s %9$s %3$s::%4$s and %2$s::text = %3$s and %5$s::text::%7$s %10$s any (r.%6$I) and (%8$s\n) offset 0)'
      else E'exists (select from %1$s r where %2$s %9$s %3$s::%4$s and %2$s::text = %3$s and r.%6$I %10$s %5$s::text::%7$s and (%8$s\n) offset 0)' end,
    a.relation, roomcast.value_sql(a.relation, 'r', a.room_column), room, roomcast.value_type(a.relation, a.room_column), user_id, a.user_column,
    roomcast.value_type(a.relation, a.user_column), coalesce(a.active, 'true'),
    roomcast.equals_sql(a.relation, a.room_column), roomcast.equals_sql(a.relation, a.user_column))
$$;

-- is_member_of asks the catalog first, then the table.
create or replace function roomcast.is_member_of(attached int, room text, user_id uuid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  found_one boolean;
begin
  execute (select 'select ' || roomcast.member_sql(roomcast.renamed(a), '$1', '$2')
             from roomcast.attached_tables a join pg_class c on c.oid = a.relation where a.id = is_member_of.attached)
    into found_one using room, user_id;
  return coalesce(found_one, false);
exception
  when null_value_not_allowed or data_exception or integrity_constraint_violation or syntax_error_or_access_rule_violation or invalid_schema_name then
    return false;   -- its columns are gone, too: attach it again
end
$$;

commit;
