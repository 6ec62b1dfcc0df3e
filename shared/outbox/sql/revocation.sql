-- Ending access. The deletion of a membership row is a revocation by itself: its outbox row
-- becomes user-left, and behind it the relay has the user disconnected.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

do $$
begin
  if pg_get_function_result(to_regprocedure('roomcast.queue_revocations(text[],bigint[],interval)')) = 'SETOF text' then
    drop function roomcast.queue_revocations(text[], bigint[], interval);   -- it had other columns
  end if;
end
$$;

-- queue_revocations notes that the users who left by these events are to be disconnected,
-- not before grace has passed, and returns them. Seqs that are no departures are passed
-- over. A bulk change of members does not say who left: then all count whose departure
-- capture has noted so far, ten thousand at a time, and, as known, those who were noted
-- before and are not confirmed: by an earlier attempt at the same change, by another relay.
-- more: there are others beyond these. Saying it twice is harmless, and so is saying it
-- under a lease that was lost.
create or replace function roomcast.queue_revocations(rooms text[], seqs bigint[], grace interval)
returns table (user_id text, known boolean, more boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  fresh text[];
  taken bigint;
  bulk  boolean;
begin
  with meant as (
    select o.op, roomcast.field_of(o.record, s.user_column) as user_id
      from (select * from unnest(queue_revocations.rooms, queue_revocations.seqs) as u (room, seq)) t
      join roomcast.seq_ranges g on g.room = t.room and t.seq between g.first_seq and g.last_seq
      join roomcast.outbox o on o.id = g.ids[t.seq - g.first_seq + 1]
      join roomcast.attached_tables s on s.id = o.attached
     where s.kind = 'members' and o.op in ('DELETE', 'BULK') and o.room !~ '^@[^@]'
  ), noted as (   -- what capture noted of the same
    delete from roomcast.departures d
     where d.room is null
       and (d.user_id in (select m.user_id from meant m)
            or d.id = any (array(select n.id from roomcast.departures n where exists (select from meant m where m.op = 'BULK') and n.room is null order by n.id limit 10000)))
    returning d.user_id
  ), gone as (
    select m.user_id from meant m where m.op = 'DELETE' and m.user_id is not null
    union select n.user_id from noted n
  ), queued as (
    insert into roomcast.revocations as r (user_id, confirmable_at, due)
    select g.user_id, clock_timestamp() + queue_revocations.grace, clock_timestamp() + queue_revocations.grace from gone g order by g.user_id
    on conflict (user_id) do update
       set confirmable_at = excluded.confirmable_at, due = least(r.due, excluded.due), tries = 0
    returning r.user_id
  )
  select coalesce(array_agg(q.user_id), array[]::text[]), (select count(*) from noted), exists (select from meant m where m.op = 'BULK')
    into fresh, taken, bulk from queued q;
  -- A statement of its own: it sees those whom another call took meanwhile, for another room.
  return query
  with before as (
    select r.user_id from roomcast.revocations r
     where bulk and not exists (select from unnest(fresh) as f (id) where f.id = r.user_id)
     order by r.user_id limit 10001
  )
  select l.user_id, l.known, taken >= 10000 or (select count(*) from before) > 10000
    from (select f.id as user_id, false as known from unnest(fresh) as f (id)
          union all (select b.user_id, true from before b limit 10000)) l;
end
$$;

-- claim_revocations leases the users whose turn it is, with those whose departure no relay
-- has come to within seconds. The stamp is to be named when the attempt is confirmed: a
-- revocation that came meanwhile then gets its own.
create or replace function roomcast.claim_revocations(most int, lease interval)
returns table (user_id text, stamp timestamptz, tries int)
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
  if exists (select from roomcast.departures) then
    perform roomcast.check_departures(1000);
    perform roomcast.fold_departures(1000);
  end if;
  return query
  update roomcast.revocations r set due = clock_timestamp() + claim_revocations.lease, tries = r.tries + 1
   where r.user_id = any (array(   -- a join could look through all of them once for each
     select t.user_id from roomcast.revocations t
      where t.due <= (select clock_timestamp())
      order by t.due limit claim_revocations.most
        for update skip locked))
  returning r.user_id, clock_timestamp(), r.tries;
end
$$;

-- confirm_revocations ends those that were disconnected (or given up), and puts off the others
-- by so many seconds. A disconnect from before the last revocation confirmable_at leaves the row.
create or replace function roomcast.confirm_revocations(users text[], stamps timestamptz[], waits double precision[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
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

-- pending_revocations returns those of the users whose disconnect no relay has confirmed.
create or replace function roomcast.pending_revocations(users text[]) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  select r.user_id from roomcast.revocations r where r.user_id = any (pending_revocations.users)
$$;

commit;
