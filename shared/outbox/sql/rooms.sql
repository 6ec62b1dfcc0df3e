-- Rooms, as the numbering finds and updates them.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- What a claim takes of one room: the seqs from first to last, behind so many rows of rooms
-- before it. ids are the rows from first on, if the claim has numbered them itself; else the
-- ranges know them. A null fence: the room is another claim's.
do $$
begin
  if to_regtype('roomcast.lease') is null then
    create type roomcast.lease as (
      room text, epoch text, fence bigint, first bigint, last bigint, before bigint, ids bigint[]);
  end if;
end
$$;

drop function if exists roomcast.grow_rooms(text[], bigint[], boolean);   -- it had other columns

-- grow_rooms gives each room so many numbers more, makes those that are not there yet, and
-- returns the last number of the nth. With waiting they want attention. With a relay those
-- that were at rest are leased to it, as lease_rooms() does; the others have a null fence.
-- (For how rooms are found and updated, see "newest version first" in claim.sql: "on
-- conflict" reads every version.)
create or replace function roomcast.grow_rooms(rooms text[], sizes int[], waiting boolean, relay text, lease interval)
returns table (nth bigint, head_seq bigint, epoch text, fence bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  now     constant timestamptz := clock_timestamp();
  leasing constant boolean := grow_rooms.relay is not null;
  wish    constant timestamptz := case when grow_rooms.waiting then now end;
  until   constant timestamptz := case when leasing then now + grow_rooms.lease else now end;
  tids  tid[];
  grow  bigint[];
  have  bigint[];
  mine  boolean[];
begin
  select array_agg(n.tid), array_agg(t.size), array_agg(t.nth), array_agg(n.rests and leasing)
    into tids, grow, have, mine   -- locked in one order, as ack() does
    from (select * from unnest(grow_rooms.rooms, grow_rooms.sizes) with ordinality as u (room, size, nth) order by u.room collate "C" offset 0) t
   cross join lateral (
     select r.ctid as tid, r.head_seq = r.sent_seq and r.due <= now as rests
       from roomcast.rooms r where r.room >= t.room and r.room <= t.room order by r.room desc limit 1 for update) n;
  return query
  update roomcast.rooms r
     set head_seq  = r.head_seq + h.size,
         fence     = case when h.mine then r.fence + 1 else r.fence end,
         due       = case when h.mine then until when r.head_seq = r.sent_seq then greatest(r.due, now) else r.due end,
         holder    = case when h.mine then grow_rooms.relay else r.holder end,
         attention = case when h.mine then null
                          when r.attention is null and r.holder is null and (leasing or wish is not null or r.due > now)
                          then greatest(r.due, now) else r.attention end
    from unnest(tids, grow, have, mine) as h (tid, size, nth, mine)
   where r.ctid = h.tid
  returning h.nth, r.head_seq, r.epoch, case when h.mine then r.fence end;
  if cardinality(grow_rooms.rooms) > coalesce(cardinality(have), 0) then
    return query
    with fresh as materialized (
      select u.*, substr(md5(gen_random_uuid()::text), 1, 8) as epoch   -- as the column's default has it
        from unnest(grow_rooms.rooms, grow_rooms.sizes) with ordinality as u (room, size, nth)
        left join unnest(have) as k (nth) on k.nth = u.nth
       where k.nth is null
    ), made as (
      insert into roomcast.rooms (room, epoch, head_seq, fence, due, attention, holder)
      select f.room, f.epoch, f.size, leasing::int, until, wish, grow_rooms.relay from fresh f order by f.nth
    )
    select f.nth, f.size::bigint, f.epoch, case when leasing then 1::bigint end from fresh f;
  end if;
end
$$;

commit;
