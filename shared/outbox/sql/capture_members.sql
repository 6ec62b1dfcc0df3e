-- What happens at the beginning and the end of a membership besides the room's event.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- may_repeat: can a user have two rows in one room, according to the catalog?
create or replace function roomcast.may_repeat(attached int) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select a.shape = 'array'
      or exists (select from roomcast.attached_tables b where b.kind = 'members' and b.detached_at is null and b.id <> a.id)
      or exists (select from pg_class c join pg_inherits i on i.inhparent = c.oid where c.oid = a.relation and c.relkind = 'r')
      or not exists (
        select from pg_index i
         where i.indrelid = a.relation and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
           and not exists (
             select from generate_series(0, i.indnkeyatts - 1) k
               left join pg_attribute t on t.attrelid = i.indrelid and t.attnum = i.indkey[k]
              where coalesce(t.attname, '') not in (a.room_column, a.user_column)))
    from roomcast.attached_tables a where a.id = may_repeat.attached
$$;

-- keep_members: if a user's row is deleted and another row keeps the user in the room, the
-- user has not left, and the deletion becomes an update with the ids only. A concurrent
-- transaction that deletes the other row still sees this one, so both note that membership
-- must be checked again: see check_departures.
create or replace function roomcast.keep_members(attached int, taken roomcast.captured[]) returns roomcast.captured[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a     roomcast.attached_tables;
  here  bigint[];
  still bigint[] := array[]::bigint[];
  brief boolean;   -- the ids are not all that is told
begin
  if not roomcast.may_repeat(attached) then
    return taken;
  end if;
  for a in select t.* from roomcast.attached_tables t join pg_class c on c.oid = t.relation
            where t.kind = 'members' and t.detached_at is null order by t.id loop
    begin
      execute roomcast.remaining_sql(roomcast.renamed(a)) into here using taken;
      still := still || here;
    exception when others or assert_failure then
      null;   -- a user-left too many is better than one too few
    end;
  end loop;
  if cardinality(still) = 0 then
    return taken;
  end if;
  select x.columns is null or not x.columns <@ x.keys into brief from roomcast.attached_tables x where x.id = keep_members.attached;
  insert into roomcast.departures (user_id, room)
  select distinct t.member, t.room from unnest(taken) with ordinality as t (n, op, room, key_hash, record, old, stub, member, i)
   where t.i = any (still);
  return array(
    select case when t.i = any (still) then row(t.n, 'UPDATE', t.room, t.key_hash, t.record, null, brief, t.member)::roomcast.captured
                else row(t.n, t.op, t.room, t.key_hash, t.record, t.old, t.stub, t.member)::roomcast.captured end
      from unnest(taken) with ordinality as t (n, op, room, key_hash, record, old, stub, member, i) order by t.i);
end
$$;

-- remaining_sql is the query for those of the deletions in $1 whose user is still in the room
-- by one members table. A user who is not a uuid can read nothing.
create or replace function roomcast.remaining_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format(E'select coalesce(array_agg(t.i), ''{}'')
      from unnest($1) with ordinality as t (n, op, room, key_hash, record, old, stub, member, i)
     where t.op = ''DELETE'' and lower(t.member) ~ ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$''
       and exists (select from %1$s r where %2$s %7$s regexp_replace(t.room, ''^@@'', ''@'')::%3$s and t.member::%4$s %8$s %5$s and (%6$s\n))',
    a.relation, roomcast.value_sql(a.relation, 'r', a.room_column), roomcast.value_type(a.relation, a.room_column),
    roomcast.value_type(a.relation, a.user_column),
    format(case when a.shape = 'array' then 'any (r.%I)' else 'r.%I' end, a.user_column), coalesce(a.active, 'true'),
    roomcast.equals_sql(a.relation, a.room_column), roomcast.equals_sql(a.relation, a.user_column))
$$;

-- check_departures checks after the commit whether users for whom keep_members saw another
-- row are still members. It ends the access of those who are not, and returns their number.
create or replace function roomcast.check_departures(max_rows int) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
declare
  d     roomcast.departures;
  still boolean;
  n     bigint := 0;
begin
  for d in
    delete from roomcast.departures x
     where x.id = any (array(select o.id from roomcast.departures o where o.room is not null order by o.id limit max_rows for update skip locked))
    returning x.*
  loop
    begin
      still := roomcast.is_member(regexp_replace(d.room, '^@@', '@'), d.user_id::uuid);
    exception when others or assert_failure then
      still := false;
    end;
    if not still then
      perform roomcast.revoke(regexp_replace(d.room, '^@@', '@'), d.user_id::uuid);
      n := n + 1;
    end if;
  end loop;
  return n;
end
$$;

-- note_members puts joins and departures into the users' personal streams, and notes who has
-- to be disconnected. Users whose room was deleted with their membership, by a foreign key,
-- need not be: such a room has no more events. A room that only lost all of its members may
-- get others.
create or replace function roomcast.note_members(attached int, taken roomcast.captured[], crowded text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone text[];
begin
  if exists (select from unnest(taken) t where t.op = 'DELETE') then
    gone := roomcast.rooms_gone(attached, array(select distinct t.room from unnest(taken) t where t.op = 'DELETE'));
  end if;
  insert into roomcast.departures (user_id)
  select distinct t.member from unnest(taken) t
   where t.op = 'DELETE' and t.member is not null and t.room is not null and (gone is null or t.room <> all (gone));
  if exists (select from roomcast.departures d where d.room is not null) then   -- no need to ask again
    delete from roomcast.departures d
     where d.id = any (array(
       select n.id from unnest(taken) t join roomcast.departures n on n.room = t.room and n.user_id = t.member
        where t.op = 'DELETE' for update of n skip locked));
  end if;
  perform roomcast.enqueue(attached, 'person', array(
    select row(t.n, t.op, '@' || lower(t.member), t.key_hash, t.record, t.old, t.stub, null)::roomcast.captured
      from unnest(taken) t
     where t.op in ('INSERT', 'DELETE') and lower(t.member) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
       and t.room is not null and t.record is not null
       and (gone is null or crowded is null or t.room <> all (crowded) or t.room <> all (gone))), null, false);
end
$$;

-- rooms_gone: those of these rooms that no longer exist: a foreign key names the table of
-- rooms, and their row is missing. Null without such a foreign key.
drop function if exists roomcast.rooms_gone(int, text[], text[]);
create or replace function roomcast.rooms_gone(attached int, rooms text[]) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  a      roomcast.attached_tables;
  parent text;
  gone   text[];
begin
  select * into a from roomcast.attached_tables x where x.id = rooms_gone.attached;
  select format('%s p where p.%I', c.confrelid::regclass, f.attname) into parent
    from pg_constraint c
    join pg_attribute k on k.attrelid = c.conrelid and k.attnum = c.conkey[1] and k.attname = a.room_column
    join pg_attribute f on f.attrelid = c.confrelid and f.attnum = c.confkey[1]
   where c.contype = 'f' and c.conrelid = a.relation and cardinality(c.conkey) = 1 limit 1;
  if parent is null then
    return null;
  end if;
  execute format('select array_agg(g.room) from unnest($1) as g (room)
                   where not exists (select from %s %s regexp_replace(g.room, ''^@@'', ''@'')::%s)',
                 parent, roomcast.equals_sql(a.relation, a.room_column), roomcast.value_type(a.relation, a.room_column))
     into gone using rooms;
  return gone;
exception when others or assert_failure then
  return null;   -- too many cut off is better than too few
end
$$;

commit;
