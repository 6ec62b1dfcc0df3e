-- The relay's side: wait, claim, ack, park. (What numbering.sql says of plpgsql and
-- sequential scans holds here, too.)
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- check_isolation refuses a transaction whose statements do not see what was committed
-- meanwhile: outbox.DB then pins the level itself.
create or replace function roomcast.check_isolation() returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'transaction_isolation: must be read committed here' using errcode = 'RC011';
  end if;
end
$$;

-- find_expired gives attention to rooms whose lease ended without an ack: their relay
-- died. It reads all rooms, hence seldom where there are many or a held snapshot keeps many
-- versions of them, and no more once the last claim is ten minutes ago.
create or replace function roomcast.find_expired() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = on set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  checked constant timestamptz := roomcast.read_clock('roomcast.expired_checked');
begin
  if checked between clock_timestamp() - interval '250 milliseconds' and clock_timestamp() + interval '5 seconds'
     or checked between roomcast.read_clock('roomcast.last_claim') + interval '10 minutes' and clock_timestamp()
     or checked > clock_timestamp() - make_interval(secs => least(5, pg_relation_size('roomcast.rooms') / 12e6)) then
    return;
  end if;
  perform roomcast.set_clock('roomcast.expired_checked', clock_timestamp());
  update roomcast.rooms r set attention = r.due
   where r.ctid = any (array(   -- a join could look through all of them once for each
     select e.ctid from roomcast.rooms e
      where e.head_seq > e.sent_seq and e.attention is null and e.due <= (select clock_timestamp())
      limit 5000 for update skip locked));
end
$$;

-- release_leases frees the rooms of a dead relay, so that nobody waits until its leases
-- end. place is what one process at a time can have, and what a holder's name has behind
-- its @: who has the place now proves that who had it before is dead.
create or replace function roomcast.release_leases(place text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  if roomcast.read_clock('roomcast.last_claim') > clock_timestamp() - interval '1 minute' then   -- it reads all rooms
    update roomcast.rooms r set due = clock_timestamp(), attention = clock_timestamp(), holder = null
     where r.ctid = any (array(
       select e.ctid from roomcast.rooms e
        where e.holder is not null and split_part(e.holder, '@', 2) = release_leases.place
        limit 20000 for update skip locked));
  end if;
end
$$;

-- await_rows waits until a claim would find something, for as long as patience, checking
-- every so often for new rows, and says whether it would. It leases nothing: the caller may
-- be gone by the time there is an answer. A check from in here costs a fraction of a claim
-- that finds nothing, since no query is sent, read and planned, and nothing is read while
-- no transaction has begun or ended. What another relay numbers meanwhile is reported, too.
-- (pg_sleep waits for whole milliseconds, for two where it is asked for one: it is asked for a
-- little less. Assigned, it needs no executor: 40 µs a check in place of 56.)
create or replace function roomcast.await_rows(patience interval, every interval) returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  deadline constant timestamptz := clock_timestamp() + await_rows.patience;
  pause    constant double precision := greatest(extract(epoch from await_rows.every), 0.001) - 0.0001;
  saw      text := pg_current_snapshot()::text;   -- before each check: what ends during it is seen at the next
  sees     text;
  c        roomcast.cursor;
  nothing  text;
begin
  perform roomcast.check_isolation();
  perform roomcast.find_expired();
  if roomcast.has_unnumbered()
     or exists (select from roomcast.rooms r where r.attention <= (select clock_timestamp())) then
    return true;
  end if;
  c := roomcast.last_cursor();
  while clock_timestamp() < deadline loop
    nothing := pg_sleep(pause);
    sees := pg_current_snapshot()::text;
    continue when sees = saw;
    saw := sees;
    if exists (select from roomcast.outbox o where o.xid >= c.next_xid and o.xid < pg_snapshot_xmax(sees::pg_snapshot))
       or exists (select from roomcast.outbox o where o.xid = any (roomcast.ended_xids(c.open_xids, sees::pg_snapshot))) then
      return true;
    end if;
  end loop;
  return false;
end
$$;

-- Newest version first. While somebody holds a snapshot, each update of a room leaves a
-- version that stays, and an index look-up by the room steps over all of them: after a
-- quarter of an hour over thousands. Read backwards, equal keys come from the table's end,
-- where the newest is, and "limit 1" stops there; a range is asked for because of a constant
-- the planner drops the order. What is locked so is then updated by its place (ctid), in
-- the next statement, whose snapshot sees the version that was locked.

drop function if exists roomcast.lease_rooms(text, text[], int, int, interval);   -- it had other columns

-- lease_rooms takes up to most rooms that have rows waiting and are due: those just
-- numbered, and those that want attention. Rooms that others hold are passed over.
create or replace function roomcast.lease_rooms(relay text, numbered text[], max_rows int, per_room int, lease interval)
returns setof roomcast.lease
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off   -- by the rooms' key
set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  most  constant int := least(lease_rooms.max_rows, 2000);
  rooms text[];
  tids  tid[];
  sizes bigint[];
  taken bigint;
begin
  rooms := array(
    select r.room from roomcast.rooms r where r.attention <= (select clock_timestamp()) order by r.attention limit most);
  if cardinality(numbered) > 0 then
    rooms := array(select distinct u from unnest(rooms || numbered) u);
  end if;
  select array_agg(f.tid order by f.due, f.room), array_agg(f.size order by f.due, f.room) into tids, sizes from (
    select n.* from unnest(rooms) as u (room)
     cross join lateral (   -- see newest version first, above
       select r.ctid as tid, r.room, r.due, r.head_seq - r.sent_seq as size
         from roomcast.rooms r
        where r.room >= u.room and r.room <= u.room and r.head_seq > r.sent_seq and r.due <= (select clock_timestamp())
        order by r.room desc limit 1
          for update skip locked) n
     order by n.due limit most) f;
  return query
  with free as (
    select * from unnest(tids, sizes) with ordinality as f (tid, size, i)
  ), fair as (
    select f.tid, f.i, least(f.size, lease_rooms.per_room, greatest(10, 2 * lease_rooms.max_rows / count(*) over ())) as size from free f
  ), counted as (
    select f.tid, f.size, (sum(f.size) over (order by f.i) - f.size)::bigint as before from fair f
  )
  update roomcast.rooms r
     set fence = r.fence + 1, due = clock_timestamp() + lease_rooms.lease, holder = lease_rooms.relay, attention = null
    from counted c
   where r.ctid = c.tid and c.before < lease_rooms.max_rows
  returning r.room, r.epoch, r.fence, r.sent_seq + 1, least(r.head_seq, r.sent_seq + least(c.size, lease_rooms.max_rows - c.before)), c.before, null::bigint[];
  get diagnostics taken = row_count;
  if cardinality(numbered) > 0 and taken < cardinality(rooms) then   -- of what was numbered some may be left
    update roomcast.rooms r set attention = greatest(r.due, clock_timestamp())
     where r.room = any (numbered) and r.head_seq > r.sent_seq and r.attention is null and r.holder is null;
  end if;
end
$$;

-- claim leases rooms with waiting rows to a relay and returns those rows in order. A room
-- under lease or backoff is not due and hides nobody: several relays share a backlog. The
-- lease ends by itself; its fence must be named in the ack.
--
-- At most max_rows rows come back, at most per_room of a room, fewer when many rooms wait
-- (breadth is fair, and reads neighbouring rows) or when 4 MB are full. Of rooms that could
-- fill two claims each claim takes half: while those are sent the next one finds the others,
-- and would find none if every room had given a few rows. What would repeat in every row is
-- told once: room, epoch, fence and the database's clock come with the first row of a room,
-- keys only where an event may have to do without its text. A record that no channel takes
-- comes as its keys alone, a stub. A row that is missing (somebody deleted it by hand) comes
-- with a null op: its number is to be passed over.
create or replace function roomcast.claim(relay text, max_rows int, per_room int, lease interval, app text default null)
returns table (room text, epoch text, fence bigint, clock text, seq bigint, at text, kind text, name text, op text, keys text[], record text, old text, stub boolean)
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set datestyle = 'ISO'
set enable_seqscan = off set enable_bitmapscan = off set enable_memoize = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  leases   roomcast.lease[];
  numbered text[];
begin
  perform roomcast.check_isolation();
  perform roomcast.check_app(claim.app);
  perform roomcast.notice_restore(claim.lease);
  if (select s.restoring is not null or s.claims_from between clock_timestamp() and clock_timestamp() + interval '1 minute' from roomcast.settings s) then
    perform pg_sleep(0.05);   -- the caller comes again at once
    return;
  end if;
  perform roomcast.find_expired();
  if roomcast.has_unnumbered() then
    return query select * from roomcast.claim_one(claim.relay, claim.lease);
    if found then
      return;
    end if;
    leases := array(select n from roomcast.number_rows(true, least(claim.max_rows, 20000), claim.relay, claim.lease) n);
    if cardinality(leases) = 0 then
      numbered := roomcast.assign_seqs(claiming => true);
    end if;
    leases := array(select l from unnest(leases) l where l.fence is not null);
  end if;
  if coalesce(cardinality(leases), 0) = 0 and coalesce(cardinality(numbered), 0) = 0
     and not exists (select from roomcast.rooms r where r.attention <= (select clock_timestamp())) then
    return;
  end if;
  -- Rows that do not fit the connection's buffers are sent before this transaction can
  -- end, while it has rooms and numbering locked. A relay that stops reading, its machine
  -- frozen or gone, would keep them locked for as long as TCP is patient: it gets no
  -- longer than its lease.
  perform set_config('tcp_user_timeout', (extract(epoch from claim.lease) * 1000)::int::text, true);
  perform roomcast.set_clock('roomcast.last_claim', clock_timestamp());
  if coalesce(cardinality(leases), 0) = 0 then
    leases := array(select l from roomcast.lease_rooms(claim.relay, numbered, claim.max_rows, claim.per_room, claim.lease) l);
  end if;
  return query
  with leased as materialized (
    select l.room, l.epoch, l.fence, l.first, least(l.last, l.first + claim.per_room - 1) as last, l.before, l.ids from unnest(leases) l
  ), found as (
    select l.room, l.epoch, l.fence, l.before, n.seq, n.seq = l.first as first, o.at, o.attached, o.name, o.op, o.record, o.old, o.stub
      from leased l
     cross join lateral (   -- not all that are kept; offset 0: by the key, whatever the planner expects
       select l.first as first_seq, l.ids where l.ids is not null
       union all
       select s.first_seq, s.ids from roomcast.seq_ranges s
        where l.ids is null and s.room = l.room and s.last_seq >= l.first and s.first_seq <= l.last
          and s.first_seq >= coalesce((select max(p.first_seq) from roomcast.seq_ranges p where p.room = l.room and p.first_seq <= l.first), 0)
       offset 0) g
     cross join lateral (select greatest(l.first, g.first_seq) as from_seq) f
     cross join lateral (
       select u.id, f.from_seq + u.i - 1 as seq
         from unnest(g.ids[f.from_seq - g.first_seq + 1 : l.last - g.first_seq + 1]) with ordinality as u (id, i)
     ) n
      left join lateral (
        select r.at, r.attached, r.name, r.op, r.record, r.old, r.stub from roomcast.outbox r where r.id = n.id offset 0) o on true
  ), sized as (
    select f.*, sum(least(octet_length(f.record), 10000) + octet_length(coalesce(f.old, ''))) over (order by f.before, f.seq) as bytes from found f
  )
  select case when z.first then z.room end,
         case when z.first then z.epoch || (select s.incarnation from roomcast.settings s) end,
         case when z.first then z.fence end,
         case when z.first then clock_timestamp()::text end,
         z.seq, z.at::text, s.kind, coalesce(z.name, s.name), z.op,
         case when z.op = 'DELETE' or octet_length(z.record) > 4000 then s.keys end,
         case when octet_length(z.record) > 10000 then roomcast.pick(z.record, s.keys) else z.record end,
         case when octet_length(z.record) + octet_length(coalesce(z.old, '')) <= 10000 then z.old end,
         z.stub or octet_length(z.record) > 10000
    from sized z
    left join roomcast.attached_tables s on s.id = z.attached
   where z.first or z.bytes <= 4194304
   order by z.before, z.seq;
end
$$;

-- ack moves rooms on to the last seq that Pusher accepted, frees them, and lets each rest
-- for wait seconds before it may be claimed again (0: at once). It returns the rooms that
-- were refused, because another relay has claimed them since. The relay waits for the answer
-- and not for the disk: what a crash of the server takes back is sent once more.
create or replace function roomcast.ack(rooms text[], fences bigint[], seqs bigint[], waits double precision[])
returns setof text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  tids tid[];
  done bigint[];
begin
  perform set_config('synchronous_commit', 'off', true);
  if cardinality(ack.rooms) = 1 then   -- a live chat's; half the cost
    tids[1] := (select r.ctid from roomcast.rooms r   -- newest version first, see above
                 where r.room >= ack.rooms[1] and r.room <= ack.rooms[1] and r.fence = ack.fences[1]
                 order by r.room desc limit 1 for update);
    update roomcast.rooms r
       set sent_seq  = greatest(r.sent_seq, least(ack.seqs[1], r.head_seq)),
           accepted  = case when ack.seqs[1] > r.sent_seq then clock_timestamp() else r.accepted end,
           due       = clock_timestamp() + make_interval(secs => ack.waits[1]),
           attention = case when greatest(r.sent_seq, ack.seqs[1]) < r.head_seq then clock_timestamp() + make_interval(secs => ack.waits[1]) end,
           holder    = null
     where r.ctid = tids[1];
    if not found then
      return next ack.rooms[1];
    end if;
    return;
  end if;
  select array_agg(h.tid), array_agg(h.nth) into tids, done from (   -- locked in one order, as assign_seqs() does
    select n.tid, t.nth
      from (select * from unnest(ack.rooms, ack.fences) with ordinality as u (room, fence, nth) order by u.room collate "C" offset 0) t
     cross join lateral (
       select r.ctid as tid from roomcast.rooms r
        where r.room >= t.room and r.room <= t.room and r.fence = t.fence
        order by r.room desc limit 1
          for update) n) h;
  update roomcast.rooms r
     set sent_seq  = greatest(r.sent_seq, least(ack.seqs[h.nth], r.head_seq)),
         accepted  = case when ack.seqs[h.nth] > r.sent_seq then clock_timestamp() else r.accepted end,
         due       = clock_timestamp() + make_interval(secs => ack.waits[h.nth]),
         attention = case when greatest(r.sent_seq, ack.seqs[h.nth]) < r.head_seq then clock_timestamp() + make_interval(secs => ack.waits[h.nth]) end,
         holder    = null
    from unnest(tids, done) as h (tid, nth)
   where r.ctid = h.tid;
  if coalesce(cardinality(done), 0) < cardinality(ack.rooms) then   -- each is compared with all
    return query   -- a relay may name a room twice, having lost it and got it back
    select t.room from unnest(ack.rooms) with ordinality as t (room, nth) where t.nth <> all (coalesce(done, '{}'));
  end if;
end
$$;

-- park notes why an event will never be sent. The ack then passes over its seq. It reports
-- false, and notes nothing, when the lease is no longer this relay's.
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
