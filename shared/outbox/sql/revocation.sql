-- Ending access. The deletion of a membership row is a revocation by itself: its outbox row
-- becomes user-left, and behind it the relay has the user disconnected.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- revoke says by hand what the deletion of a membership row says: for teams whose
-- can_read looks at something else. It travels in the outbox like a row, and in the
-- shape of the attached members table, if there is one.
create or replace function roomcast.revoke(room text, user_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  s    roomcast.attached_tables;
  kind text;
begin
  select * into s from roomcast.attached_tables x where x.kind = 'members'
   order by x.detached_at is not null, x.relation = 'roomcast.revocations'::regclass, x.id limit 1;
  kind := roomcast.column_type(s.relation, s.room_column);
  perform roomcast.enqueue(s.id, 'DELETE', room, jsonb_build_object(
    s.room_column, case when kind in ('bigint', 'integer', 'smallint') then to_jsonb(room::numeric) else to_jsonb(room) end,
    s.user_column, user_id), null, s.keys);
end
$$;
comment on function roomcast.revoke(text, uuid) is 'Publishes user-left and cuts the user''s signed-in connections, as the deletion of a membership row does.';

-- queue_revocations notes that the users who left by these events are to be cut, not
-- before grace has passed, and returns them. Seqs that are no departures are passed
-- over. Saying it twice is harmless, and so is saying it under a lease that was lost.
create or replace function roomcast.queue_revocations(rooms text[], seqs bigint[], grace interval) returns setof text
language sql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  with gone as (
    select distinct o.record ->> s.user_column as user_id
      from (select * from unnest(queue_revocations.rooms, queue_revocations.seqs) as u (room, seq)) t
      join roomcast.seq_ranges g on g.room = t.room and t.seq between g.first_seq and g.last_seq
      join roomcast.outbox o on o.id = g.ids[t.seq - g.first_seq + 1]
      join roomcast.attached_tables s on s.id = o.attached
     where s.kind = 'members' and o.op = 'DELETE' and o.record ->> s.user_column is not null
  )
  insert into roomcast.revocations as r (user_id, confirmable_at, due)
  select g.user_id, clock_timestamp() + queue_revocations.grace, clock_timestamp() + queue_revocations.grace from gone g order by g.user_id
  on conflict (user_id) do update
     set confirmable_at = excluded.confirmable_at, due = least(r.due, excluded.due), tries = 0
  returning r.user_id
$$;

-- claim_revocations leases the users whose turn it is. The stamp is to be named when
-- the attempt is settled: a revocation that came meanwhile then gets its own.
create or replace function roomcast.claim_revocations(most int, lease interval)
returns table (user_id text, stamp timestamptz, tries int)
language sql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  with turn as (
    select r.user_id from roomcast.revocations r
     where r.due <= (select clock_timestamp())
     order by r.due limit claim_revocations.most
       for update skip locked
  )
  update roomcast.revocations r set due = clock_timestamp() + claim_revocations.lease, tries = r.tries + 1
    from turn t where t.user_id = r.user_id
  returning r.user_id, clock_timestamp(), r.tries
$$;

-- confirm_revocations ends those that were cut (or given up), and puts off the others
-- by so many seconds. A cut from before the last revocation confirmable_at leaves the row.
create or replace function roomcast.confirm_revocations(users text[], stamps timestamptz[], waits double precision[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  with told as (
    select * from unnest(confirm_revocations.users, confirm_revocations.stamps, confirm_revocations.waits) as t (user_id, stamp, wait)
  ), ended as (
    delete from roomcast.revocations r using told t
     where r.user_id = t.user_id and t.wait is null and r.confirmable_at <= t.stamp
    returning r.user_id
  )
  update roomcast.revocations r
     set due = case when r.confirmable_at > t.stamp then r.confirmable_at else clock_timestamp() + make_interval(secs => t.wait) end
    from told t
   where r.user_id = t.user_id and (t.wait is not null or r.confirmable_at > t.stamp)
     and r.user_id not in (select e.user_id from ended e)
$$;

commit;
