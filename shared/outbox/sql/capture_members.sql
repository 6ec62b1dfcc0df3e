-- What the end and the beginning of a membership mean beyond the room's own event.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- note_members: who came or went hears of it in person, and who went is to be cut off.
-- Nobody is cut off who went with the room: what is gone with it has no listeners' harm.
create or replace function roomcast.note_members(attached int, taken roomcast.captured[], crowded text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone text[];
begin
  if exists (select from unnest(taken) t where t.op = 'DELETE') then
    gone := roomcast.rooms_gone(attached, array(select distinct t.room from unnest(taken) t where t.op = 'DELETE'), crowded);
  end if;
  insert into roomcast.departures (user_id)
  select distinct t.member from unnest(taken) t
   where t.op = 'DELETE' and t.member is not null and t.room is not null and (gone is null or t.room <> all (gone));
  perform roomcast.enqueue(attached, 'person', array(
    select row(t.n, t.op, '@' || lower(t.member), t.key_hash, t.record, t.old, t.stub, null)::roomcast.captured
      from unnest(taken) t
     where t.op in ('INSERT', 'DELETE') and lower(t.member) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
       and t.room is not null and t.record is not null
       and (gone is null or crowded is null or t.room <> all (crowded) or t.room <> all (gone))), null, false);
end
$$;

-- rooms_gone: of these rooms, those that are no more. Where a foreign key says whose rooms
-- they are, their row is missing; elsewhere so many went at once that no member remains.
create or replace function roomcast.rooms_gone(attached int, rooms text[], crowded text[]) returns text[]
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
  if parent is null and crowded is null then
    return null;
  end if;
  execute format('select array_agg(g.room) from unnest($1) as g (room)
                   where %s not exists (select from %s = regexp_replace(g.room, ''^@@'', ''@'')::%s%s)',
                 case when parent is null then 'g.room = any ($2) and' else '' end,
                 coalesce(parent, format('%s r where r.%I', a.relation, a.room_column)),
                 roomcast.column_type(a.relation, a.room_column),
                 case when parent is null and a.active is not null then ' and (' || a.active || ')' else '' end)
     into gone using rooms, crowded;
  return gone;
exception when others then
  return null;   -- too many cut off is better than too few
end
$$;

commit;
