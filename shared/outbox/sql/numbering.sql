-- Numbering: which rows of the outbox have no seq yet, and giving it to them.
--
-- Which rows are new is decided by snapshots, not by ids: a transaction that took a low id
-- and committed last is simply new to the next numbering. A snapshot is xmax, the first
-- transaction id not yet given, and the ids below it that were still in progress.
--
-- Two things hold for what the relay calls many times a second. It is plpgsql, which keeps
-- its plans for the session, where SQL functions are planned at every call. And it has
-- sequential scans off: the planner overestimates how selective "what waits" is and
-- prefers a scan for LIMIT 1. (Where only such a scan is possible its cost becomes
-- absurd, which wakes the compiler: hence jit off.) Bitmap scans are off, too: where statistics
-- are of a time before a large transaction, one reads and sorts all of its rows in each step.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- last_cursor is the newest: the snapshot up to which rows are numbered.
create or replace function roomcast.last_cursor() returns roomcast.cursor
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  c roomcast.cursor;
begin
  select * into c from roomcast.cursor x order by x.id desc limit 1;
  return c;
end
$$;

-- at_seq finds the outbox row that a room's seq was given to.
create or replace function roomcast.at_seq(room text, seq bigint) returns bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
  select g.ids[at_seq.seq - g.first_seq + 1] from roomcast.seq_ranges g
   where g.room = at_seq.room and g.first_seq <= at_seq.seq and g.last_seq >= at_seq.seq
   order by g.first_seq desc limit 1
$$;

-- seq_of finds the seq that an outbox row of a room was given; null while it has none. It
-- looks through the room's ranges.
create or replace function roomcast.seq_of(room text, outbox_id bigint) returns bigint
language sql stable set search_path = pg_catalog, pg_temp as $$
  select g.first_seq + array_position(g.ids, seq_of.outbox_id) - 1 from roomcast.seq_ranges g
   where g.room = seq_of.room and seq_of.outbox_id = any (g.ids)
$$;

-- ended_xids are those that a snapshot does not call open. Of a transaction that still is,
-- an index knows all rows, millions perhaps, and each look would visit them for nothing.
create or replace function roomcast.ended_xids(xids xid8[], sees pg_snapshot) returns xid8[]
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if cardinality(ended_xids.xids) = 0 then
    return ended_xids.xids;
  end if;
  return array(select x from unnest(ended_xids.xids) x where pg_visible_in_snapshot(x, ended_xids.sees));
end
$$;

-- has_unnumbered: is there a row that the last numbering could not see?
create or replace function roomcast.has_unnumbered() returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  c    constant roomcast.cursor := roomcast.last_cursor();
  sees constant pg_snapshot := pg_current_snapshot();
  upto constant xid8 := pg_snapshot_xmax(sees);
begin
  return exists (select from roomcast.outbox o where o.xid >= c.next_xid and o.xid < upto)
      or exists (select from roomcast.outbox o where o.xid = any (roomcast.ended_xids(c.open_xids, sees)))
      or c.next_xid > upto   -- a database restored elsewhere
      or exists (select from roomcast.settings s where s.restoring is not null);
end
$$;

-- unnumbered lists the rows that have no seq yet, in no order.
create or replace function roomcast.unnumbered() returns table (id bigint, room text, at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  c    constant roomcast.cursor := roomcast.last_cursor();
  upto constant xid8 := pg_snapshot_xmax(pg_current_snapshot());
begin
  return query
  with fresh as (
    select o.id, o.room, o.at from roomcast.outbox o
     where o.xid >= c.next_xid and o.xid < upto
    union all
    select o.id, o.room, o.at
      from unnest(c.open_xids) as x (xid)
      left join unnest(c.large_xids, c.large_from) as l (xid, from_id) on l.xid = x.xid
     cross join lateral (
       select r.id, r.room, r.at from roomcast.outbox r where r.xid = x.xid and r.id > coalesce(l.from_id, 0)) o
  ), old as materialized (
    select n.id
      from (select array_agg(distinct f.room) as rooms, min(f.id) as low, max(f.id) as high
              from fresh f where f.id <= c.restored_id having count(*) > 0) o
     cross join lateral roomcast.numbered_between(o.rooms, o.low, o.high) n (id)
  )
  select f.id, f.room, f.at from fresh f
   where f.id > c.restored_id or not exists (select from old b where b.id = f.id);
end
$$;

-- numbered_between lists the numbered rows of some rooms, and others near them, by what the
-- ranges hold.
create or replace function roomcast.numbered_between(rooms text[], low bigint, high bigint) returns setof bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
begin
  return query
  select unnest(g.ids) from roomcast.seq_ranges g
   where g.room = any (rooms) and g.ids[1] <= high and g.ids[cardinality(g.ids)] >= low;
end
$$;

drop function if exists roomcast.pick_rows(roomcast.cursor, int);   -- it had other columns

-- pick_rows chooses what one numbering takes, at most about most rows: it returns the
-- cursor behind it, its choice as the transactions below upto that are not in open, the
-- formerly open ones in ended, and of the first large one the rows behind large_from, and
-- whether there are more.
--
-- Transactions are taken in the order of their ids until there are enough. One that alone
-- has more rows than that is large: it stays among the open ones and is numbered in steps,
-- as if it had committed in pieces, while others are numbered beside it.
create or replace function roomcast.pick_rows(c roomcast.cursor, most int,
  out upto xid8, out open xid8[], out ended xid8[], out behind roomcast.cursor, out more boolean)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  now_sees constant pg_snapshot := pg_current_snapshot();
  cut   xid8;
  large xid8[];
begin
  upto := pg_snapshot_xmax(now_sees);
  open := array(select pg_snapshot_xip(now_sees)) || pg_current_xact_id();   -- somebody may write a row and number in one
  behind := c;
  ended := array(select x from unnest(c.open_xids) x where x <> all (open) and x <> all (c.large_xids));
  if cardinality(ended) > 0 then
    with counted as (
      select x, (select count(*) from (select from roomcast.outbox o where o.xid = x limit pick_rows.most + 1) l) as size
        from unnest(ended) x
    ), summed as (
      select k.x, k.size, sum(k.size) over (order by k.x) as total from counted k
    )
    select coalesce(array_agg(s.x) filter (where s.total <= pick_rows.most), '{}'),
           coalesce(array_agg(s.x) filter (where s.size > pick_rows.most), '{}'),
           open || coalesce(array_agg(s.x) filter (where s.total > pick_rows.most), '{}'),
           bool_or(s.total > pick_rows.most)
      into ended, large, open, more from summed s;
    behind.large_xids := behind.large_xids || large;
    behind.large_from := behind.large_from || array_fill(0::bigint, array[cardinality(large)]);
  end if;
  cut := (select o.xid from roomcast.outbox o where o.xid >= c.next_xid and o.xid < upto order by o.xid, o.id offset pick_rows.most limit 1);
  if exists (select from roomcast.outbox o where o.xid >= c.next_xid and o.xid < cut) then
    upto := cut;
  elsif cut is not null then
    if cut <> all (open) then   -- it may have committed just now
      behind.large_xids := behind.large_xids || cut;
      behind.large_from := behind.large_from || 0::bigint;
      open := open || cut;
    end if;
    upto := c.next_xid;   -- nothing is below it, and none of its rows is to be read for that
    behind.next_xid := (cut::text::bigint + 1)::text::xid8;
  end if;
  more := coalesce(more, false) or cut is not null or cardinality(behind.large_xids) > 0;
  behind.next_xid  := greatest(upto, behind.next_xid);
  behind.open_xids := array(select distinct x from unnest(open || behind.large_xids) x where x < behind.next_xid);
end
$$;

-- has_room_each: of so many new rows, have nine in ten a room of their own?
create or replace function roomcast.has_room_each(behind roomcast.cursor, next_xid xid8, many int) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  return (
    select 10 * count(distinct hashtextextended(n.room, 0)) > 9 * count(*)
      from (select o.room from roomcast.outbox o
             where (o.xid, o.id) > (coalesce(behind.large_xids[1], has_room_each.next_xid), coalesce(behind.large_from[1], 0))
             order by o.xid, o.id limit many) n);
end
$$;

-- number_rows gives new rows their seq, per room in id order, at most about most rows at
-- once, and returns the rooms that got some. One relay at a time does so; another one that
-- comes by goes on without. With claiming the caller takes these rooms in this very
-- transaction, unless there are too many for it, which then want attention.
--
-- With a relay each of these rooms that was at rest is leased to it in the same write, and
-- comes with its ids: for rooms of one new row each that is half of what numbering them
-- first and claiming them then costs. It numbers nothing where another room wants attention,
-- a membership is to be asked for again or the rows do not fit one claim; nor where more
-- rows are new than most and, of the next 20,000, more than a tenth have a room in common:
-- those cost less when a room gets many numbers at once.
create or replace function roomcast.number_rows(claiming boolean, most int, relay text default null, lease interval default null)
returns setof roomcast.lease
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_nestloop = off set enable_hashjoin = on   -- what it joins is its own, of any size
set jit = off set plan_cache_mode = force_generic_plan set work_mem = '16MB' as $$
declare
  c      roomcast.cursor;
  p      record;
  leases roomcast.lease[];
  taken  boolean;
  last   bigint;   -- of a large transaction
  size   bigint;
  number bigint;
begin
  if number_rows.relay is not null
     and (exists (select from roomcast.rooms r where r.attention <= (select clock_timestamp()))
          or exists (select from roomcast.departures d where d.room is not null)) then
    return;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('roomcast.assign_seqs', 0)) then
    return;
  end if;
  if (select s.restoring is not null from roomcast.settings s) then
    return;
  end if;
  c := roomcast.last_cursor();
  if c.next_xid > pg_snapshot_xmax(pg_current_snapshot()) then
    if number_rows.relay is null then
      perform roomcast.notice_restore(anyway => true);
    end if;
    return;   -- what it has made new is new to the next numbering, and comes before what is written now
  end if;
  if exists (select from roomcast.departures d where d.room is not null) then
    perform roomcast.check_departures(100);
  end if;
  p := roomcast.pick_rows(c, number_rows.most);
  if number_rows.relay is not null and p.more
     and not (roomcast.has_room_each(p.behind, c.next_xid, 500) and roomcast.has_room_each(p.behind, c.next_xid, 20000)) then
    return;
  end if;
  with fresh as (
    select o.id, o.room, o.at, null::bigint as step, octet_length(o.record) + coalesce(octet_length(o.old), 0) as bytes
      from roomcast.outbox o
     where o.xid >= c.next_xid and o.xid < p.upto and o.xid <> all (p.open)
    union all
    select o.id, o.room, o.at, null, octet_length(o.record) + coalesce(octet_length(o.old), 0)
      from roomcast.outbox o
     where o.xid = any (p.ended)
    union all
    (select o.id, o.room, o.at, o.id, octet_length(o.record) + coalesce(octet_length(o.old), 0)
       from roomcast.outbox o   -- as the index has them, from where the last step ended
      where (o.xid, o.id) > ((p.behind).large_xids[1], (p.behind).large_from[1]) and o.xid <= (p.behind).large_xids[1]
      order by o.xid, o.id limit number_rows.most)
  ), old as materialized (
    select n.id
      from (select array_agg(distinct f.room) as rooms, min(f.id) as low, max(f.id) as high
              from fresh f where f.id <= c.restored_id having count(*) > 0) o
     cross join lateral roomcast.numbered_between(o.rooms, o.low, o.high) n (id)
  ), grouped as materialized (   -- sorted before, so that arrays have the ids in order
    select s.*, cardinality(s.ids) as size, row_number() over () as nth
      from (select r.room, array_agg(r.id) as ids, array_agg(r.at) as ats, max(r.at) as newest
              from (select f.id, f.room, f.at from fresh f
                     where octet_length(f.room) <= 1000   -- what capture lets through is shorter; what no index takes must stop nobody
                       and (f.id > c.restored_id or not exists (select from old b where b.id = f.id))
                     order by f.room, f.id) r
             group by r.room) s
  ), taken as materialized (
    select array_agg(s.room order by s.nth) as rooms, array_agg(s.size order by s.nth) as sizes, count(*) as many from grouped s
    having number_rows.relay is null
        or sum(s.size) <= number_rows.most and (select sum(f.bytes) <= 4194304 from fresh f)
  ), grown as materialized (
    select g.*
      from taken t
     cross join lateral roomcast.grow_rooms(t.rooms, t.sizes,
       not number_rows.claiming or t.many > 2000 and number_rows.relay is null, number_rows.relay, number_rows.lease) g
  ), numbered as (   -- longer arrays leave their page, and are slow to read in part
    insert into roomcast.seq_ranges (room, first_seq, last_seq, ids, newest)
    select s.room, g.head_seq - s.size + 1, g.head_seq, s.ids, s.newest
      from grown g join grouped s using (nth)
     where s.size <= 200
    union all
    select s.room, g.head_seq - s.size + k.i, least(g.head_seq, g.head_seq - s.size + k.i + 199), s.ids[k.i : k.i + 199],
           (select max(u.at) from unnest(s.ats[k.i : k.i + 199]) as u (at))
      from grown g join grouped s using (nth) cross join lateral generate_series(1, s.size, 200) as k (i)
     where s.size > 200
  )
  select array(
           select row(s.room, g.epoch, g.fence, g.head_seq - s.size + 1, g.head_seq,
                      sum(s.size) over (order by s.nth) - s.size, s.ids)::roomcast.lease
             from grown g join grouped s using (nth)
            where number_rows.relay is not null or (select t.many <= 2000 from taken t) order by s.nth),
         (select count(*) > 0 from taken), max(f.step), count(f.step)
    into leases, taken, last, size from fresh f;
  if not taken then
    return;
  end if;
  if cardinality((p.behind).large_xids) > 0 then
    p.behind := roomcast.step_large(p.behind, last, size < number_rows.most);
  end if;
  insert into roomcast.cursor (next_xid, open_xids, large_xids, large_from, restored_id)
  values ((p.behind).next_xid, (p.behind).open_xids, (p.behind).large_xids, (p.behind).large_from, c.restored_id)
  returning id into number;
  if number % 100 = 0 then
    delete from roomcast.cursor x where x.id < number;
  end if;
  return query select * from unnest(leases);
end
$$;

-- assign_seqs is number_rows without a lease: it returns the rooms, null if none got any.
create or replace function roomcast.assign_seqs(claiming boolean default false, most int default 20000) returns text[]
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  return nullif(array(select n.room from roomcast.number_rows(assign_seqs.claiming, assign_seqs.most) n), '{}');
end
$$;

-- step_large notes that the first large transaction is numbered up to an id, or done.
create or replace function roomcast.step_large(c roomcast.cursor, last bigint, done boolean) returns roomcast.cursor
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if done then
    c.open_xids  := array_remove(c.open_xids, c.large_xids[1]);
    c.large_xids := c.large_xids[2:];
    c.large_from := c.large_from[2:];
  else
    c.large_from[1] := last;
  end if;
  return c;
end
$$;

-- mark_unnumbered makes up to most rows that no range holds, and that numbering would pass
-- over, new to it: as if this transaction had written them. It returns how many, and reads
-- all that is kept.
create or replace function roomcast.mark_unnumbered(most int default 50000) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = on set enable_mergejoin = off set enable_nestloop = off set jit = off set work_mem = '64MB' as $$
declare
  n bigint;
begin
  with numbered as materialized (
    select unnest(g.ids) as id from roomcast.seq_ranges g   -- in the list of columns, where it costs least
  ), waiting as materialized (
    select w.id from roomcast.unnumbered() w
  ), passed as (
    select o.id from roomcast.outbox o
      left join numbered n on n.id = o.id
      left join waiting w on w.id = o.id
     where n.id is null and w.id is null and o.xid <> pg_current_xact_id()
     order by o.id limit most
  )
  update roomcast.outbox o set xid = pg_current_xact_id() from passed p where p.id = o.id;
  get diagnostics n = row_count;
  return n;
end
$$;

commit;
