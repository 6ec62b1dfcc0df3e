-- Who is online, as Pusher's presence webhooks say.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- note_presence stores the states of one webhook, at most one for each user and room, and
-- returns those that changed. A null user means all users who are online in the room: the
-- channel is empty. States older than the stored ones change nothing. With announce, changes
-- become user-online and user-offline.
create or replace function roomcast.note_presence(
  rooms text[], users text[], onlines boolean[], at timestamptz, announce boolean)
returns table (room text, user_id text, online boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  for room, user_id, online in
    with told as (
      select t.room, t.user_id, t.online from unnest(note_presence.rooms, note_presence.users, note_presence.onlines) as t (room, user_id, online)
    ), named as (
      select t.room, t.user_id, t.online from told t where t.user_id is not null
      union
      select p.room, p.user_id, false from roomcast.presence p join told t on t.room = p.room and t.user_id is null
       where p.online
         and not exists (select from told n where n.room = p.room and n.user_id = p.user_id)
    ), known as materialized (   -- locked in one order
      select p.room, p.user_id, p.online from roomcast.presence p join named n using (room, user_id)
       order by p.room, p.user_id for update of p
    ), noted as (                -- reads all of known first: what it has changed it cannot lock
      insert into roomcast.presence as p (room, user_id, online, at)
      select n.room, n.user_id, n.online, note_presence.at from named n left join known k using (room, user_id) order by n.room, n.user_id
      on conflict (room, user_id) do update set online = excluded.online, at = excluded.at
       where p.at <= excluded.at
      returning p.room, p.user_id, p.online
    )
    select n.room, n.user_id, n.online
      from noted n left join known k using (room, user_id)
     where n.online is distinct from coalesce(k.online, false)
     order by n.room, n.user_id
  loop
    if announce then
      perform roomcast.enqueue_event('presence', case when online then 'INSERT' else 'DELETE' end, roomcast.room_key(room),
        jsonb_build_object('room_id', room, 'user_id', user_id)::text);
    end if;
    return next;
  end loop;
end
$$;

-- clean_presence deletes users who left longer ago than any webhook can be late.
create or replace function roomcast.clean_presence() returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  n bigint;
begin
  delete from roomcast.presence p
   where p.ctid = any (array(
     select o.ctid from roomcast.presence o where not o.online and o.at < (select clock_timestamp() - interval '1 hour')
      limit 1000 for update skip locked));
  get diagnostics n = row_count;
  return n;
end
$$;

commit;
