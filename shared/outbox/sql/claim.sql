-- The relay's side: assign seqs, claim, ack, park.
--
-- Two things hold for what the relay calls many times a second. It is plpgsql, which
-- keeps its plans for the session, where SQL functions are planned at every call. And it
-- has sequential scans off: the planner overestimates how selective "what waits" is and
-- prefers a scan for LIMIT 1. (Where only such a scan is possible its cost becomes
-- absurd, which wakes the compiler: hence jit off.)
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- has_unnumbered looks for rows that the last numbering could not see.
create or replace function roomcast.has_unnumbered() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  c roomcast.cursor;
begin
  select * into c from roomcast.cursor;
  return exists (select from roomcast.outbox o where o.xid >= c.next_xid)
      or exists (select from roomcast.outbox o where o.xid = any (c.open_xids))
      or c.next_xid > pg_snapshot_xmax(pg_current_snapshot());
end
$$;

-- await_rows waits until a claim would find something, for as long as patience, looking
-- every so often for new rows, and says whether it would. It leases nothing: whoever
-- asked may be gone by the time there is an answer. A look from in here costs a fraction
-- of a claim that finds nothing, since no query is sent, read and planned, and nothing is
-- read while no transaction has begun or ended. What another relay numbers meanwhile is
-- reported, too.
create or replace function roomcast.await_rows(patience interval, every interval) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  deadline constant timestamptz := clock_timestamp() + await_rows.patience;
  pause    constant double precision := greatest(extract(epoch from await_rows.every), 0.001);
  saw      text := pg_current_snapshot()::text;   -- before each look: what ends during it is seen at the next
  sees     text;
  c        roomcast.cursor;
begin
  if roomcast.has_unnumbered()
     or exists (select from roomcast.rooms r where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp())) then
    return true;
  end if;
  select * into c from roomcast.cursor;
  while clock_timestamp() < deadline loop
    perform pg_sleep(pause);
    sees := pg_current_snapshot()::text;
    continue when sees = saw;
    saw := sees;
    if exists (select from roomcast.outbox o where o.xid >= c.next_xid)
       or exists (select from roomcast.outbox o where o.xid = any (c.open_xids)) then
      return true;
    end if;
  end loop;
  return false;
end
$$;

-- assign_seqs gives every new row its seq, per room in id order, and returns how many it
-- numbered. One relay at a time does so; another one that comes by goes on without.
--
-- Which rows are new is decided by snapshots, not by ids: a transaction that took a
-- low id and committed last is simply new to the next numbering. The one statement
-- below both reads the rows and keeps its own snapshot, so that each row is new to
-- exactly one numbering. Its own transaction is noted as unfinished, in case somebody
-- writes a message and numbers in one.
--
-- A database restored elsewhere counts its transactions anew: then, and when told to
-- by full, rows are new when no range holds them.
create or replace function roomcast.assign_seqs(full_scan boolean default false) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan set work_mem = '16MB' as $$
declare
  c    roomcast.cursor;
  mine xid8;
  n    bigint;
begin
  select * into c from roomcast.cursor for update skip locked;
  if not found then
    return 0;
  end if;
  mine := pg_current_xact_id();
  full_scan := full_scan or c.next_xid > pg_snapshot_xmax(pg_current_snapshot());

  with fresh as (
    select o.id, o.room from roomcast.outbox o
     where not full_scan and o.xid >= c.next_xid and o.xid <> mine
    union all
    select o.id, o.room from roomcast.outbox o
     where not full_scan and o.xid = any (c.open_xids) and o.xid < c.next_xid
    union all
    select o.id, o.room from roomcast.outbox o
     where full_scan and o.xid <> mine
       and o.id not in (select unnest(r.ids) from roomcast.seq_ranges r)
  ), ranked as (
    select f.id, f.room, row_number() over (partition by f.room order by f.id) - 1 as i from fresh f
  ), grown as (
    insert into roomcast.rooms as r (room, head_seq, due)
    select k.room, count(*), clock_timestamp() from ranked k group by k.room order by k.room
    on conflict (room) do update
      set head_seq = r.head_seq + excluded.head_seq,
          due = case when r.head_seq = r.sent_seq then greatest(r.due, excluded.due) else r.due end
    returning r.room, r.head_seq
  ), sized as (
    select k.room, count(*) as size from ranked k group by k.room
  ), numbered as (
    insert into roomcast.seq_ranges (room, first_seq, last_seq, ids)
    select k.room,
           g.head_seq - s.size + min(k.i) + 1,
           g.head_seq - s.size + max(k.i) + 1,
           array_agg(k.id order by k.id)
      from ranked k join grown g using (room) join sized s using (room)
     group by k.room, g.head_seq, s.size, k.i / 200   -- longer arrays leave their page, and are slow to read in part
    returning cardinality(ids) as size
  ), moved as (
    update roomcast.cursor
       set next_xid = pg_snapshot_xmax(pg_current_snapshot()),
           open_xids = array(select pg_snapshot_xip(pg_current_snapshot())) || mine
  )
  select coalesce(sum(size), 0) into n from numbered;
  return n;
end
$$;

-- claim leases rooms with waiting rows to a relay and returns those rows in order. A
-- room under lease or backoff is not due and hides nobody: several relays share a
-- backlog. The lease ends by itself; its fence must be named in the ack.
--
-- At most max_rows rows come back, at most per_room of a room, and fewer when many
-- rooms wait: breadth is fair, and reads neighbouring rows. What would repeat in every
-- row is told once: room, epoch, fence and the database's clock come with the first row
-- of a room, keys only where an event may have to do without its text. A row that is
-- missing (somebody deleted it by hand) comes with a null op: its number is to be passed
-- over.
create or replace function roomcast.claim(relay text, max_rows int, per_room int, lease interval)
returns table (room text, epoch text, fence bigint, clock text, seq bigint, at text, kind text, name text, op text, keys text[], record text, old text, stub boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO'
set enable_seqscan = off set enable_memoize = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  if roomcast.has_unnumbered() then
    perform roomcast.assign_seqs();
  end if;
  if not exists (select from roomcast.rooms r where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp())) then
    return;
  end if;
  -- Rows that do not fit the connection's buffers are sent before this transaction can
  -- end, while it has rooms and cursor locked. A relay that stops reading, its machine
  -- frozen or gone, would keep them locked for as long as TCP is patient: it gets no
  -- longer than its lease.
  perform set_config('tcp_user_timeout', (extract(epoch from claim.lease) * 1000)::int::text, true);
  return query
  with free as (
    select r.room, r.due, r.head_seq - r.sent_seq as size
      from roomcast.rooms r
     where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp())
     order by r.due
     limit least(claim.max_rows, 500)
       for update skip locked
  ), fair as (
    select f.room, f.due, least(f.size, claim.per_room, greatest(10, claim.max_rows / count(*) over ())) as size from free f
  ), counted as (
    select f.room, f.size, (sum(f.size) over (order by f.due, f.room) - f.size)::bigint as before from fair f
  ), leased as (
    update roomcast.rooms r
       set fence = r.fence + 1, due = clock_timestamp() + claim.lease, holder = claim.relay
      from counted c
     where c.room = r.room and c.before < claim.max_rows
    returning r.room, r.epoch, r.fence, r.sent_seq, least(r.head_seq, r.sent_seq + least(c.size, claim.max_rows - c.before)) as last, c.before
  )
  select case when n.first then l.room end,
         case when n.first then l.epoch end,
         case when n.first then l.fence end,
         case when n.first then clock_timestamp()::text end,
         n.seq, o.at::text, s.kind, coalesce(o.name, s.name), o.op,
         case when o.op = 'DELETE' or octet_length(o.record) > 4000 then s.keys end,
         o.record, o.old, nullif(o.stub, false)
    from leased l
    join roomcast.seq_ranges g on g.room = l.room and g.last_seq > l.sent_seq and g.first_seq <= l.last
     and g.first_seq >= coalesce((select max(p.first_seq) from roomcast.seq_ranges p   -- not all that are kept
                                   where p.room = l.room and p.first_seq <= l.sent_seq + 1), 0)
    cross join lateral (select greatest(l.sent_seq + 1, g.first_seq) as from_seq) f
    cross join lateral (
      select u.id, f.from_seq + u.i - 1 as seq, f.from_seq + u.i - 1 = l.sent_seq + 1 as first
        from unnest(g.ids[f.from_seq - g.first_seq + 1 : l.last - g.first_seq + 1]) with ordinality as u (id, i)
    ) n
    left join roomcast.outbox o on o.id = n.id
    left join roomcast.attached_tables s on s.id = o.attached
   order by l.before, n.seq;
end
$$;

-- ack moves rooms on to the last seq that Pusher accepted, frees them, and lets each
-- rest for wait seconds before it may be claimed again (0: at once). It returns the
-- rooms that were refused, because another relay has claimed them since.
create or replace function roomcast.ack(rooms text[], fences bigint[], seqs bigint[], waits double precision[])
returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  return query
  with told as (
    select * from unnest(ack.rooms, ack.fences, ack.seqs, ack.waits) as t (room, fence, seq, wait)
  ), held as materialized (   -- locked in one order, as assign_seqs() does
    select r.room, r.fence, t.seq, t.wait
      from roomcast.rooms r join told t on t.room = r.room and t.fence = r.fence
     order by r.room
       for update of r
  ), moved as (
    update roomcast.rooms r
       set sent_seq = greatest(r.sent_seq, least(h.seq, r.head_seq)),
           due      = clock_timestamp() + make_interval(secs => h.wait),
           holder   = null
      from held h where h.room = r.room
    returning r.room, r.fence
  )   -- a relay may name a room twice, having lost it and got it back
  select t.room from told t where (t.room, t.fence) not in (select m.room, m.fence from moved m);
end
$$;

-- park notes why an event will never be sent. The ack then passes over its seq. It
-- reports false, and notes nothing, when the lease is no longer this relay's.
create or replace function roomcast.park(room text, fence bigint, seq bigint, reason text) returns boolean
language sql security definer set search_path = pg_catalog, pg_temp as $$
  with held as (
    select r.room from roomcast.rooms r where r.room = park.room and r.fence = park.fence
  ), noted as (
    insert into roomcast.parked (room, seq, outbox_id, reason)
    select g.room, park.seq, g.ids[park.seq - g.first_seq + 1], left(park.reason, 500)
      from held h join roomcast.seq_ranges g on g.room = h.room and park.seq between g.first_seq and g.last_seq
    on conflict (room, seq) do update set reason = excluded.reason, at = excluded.at
  )
  select exists (select from held)
$$;

commit;
