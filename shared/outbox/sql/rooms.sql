-- Rooms, as the numbering finds and updates them.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

drop function if exists roomcast.grow_rooms(text[], bigint[], boolean);   -- it had other columns

-- grow_rooms gives each room so many numbers more, makes those that are not there yet, and
-- returns the last number of the nth. With waiting they want attention. (For how rooms are found and
-- updated, see "newest version first" in claim.sql: "on conflict" reads every version.)
create or replace function roomcast.grow_rooms(rooms text[], sizes int[], waiting boolean) returns table (nth bigint, head_seq bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  now  constant timestamptz := clock_timestamp();
  wish constant timestamptz := case when grow_rooms.waiting then now end;
  tids tid[];
  grow bigint[];
  have bigint[];
begin
  select array_agg(n.tid), array_agg(t.size), array_agg(t.nth) into tids, grow, have   -- locked in one order, as ack() does
    from (select * from unnest(grow_rooms.rooms, grow_rooms.sizes) with ordinality as u (room, size, nth) order by u.room collate "C" offset 0) t
   cross join lateral (
     select r.ctid as tid from roomcast.rooms r where r.room >= t.room and r.room <= t.room order by r.room desc limit 1 for update) n;
  return query
  update roomcast.rooms r
     set head_seq  = r.head_seq + h.size,
         due       = case when r.head_seq = r.sent_seq then greatest(r.due, now) else r.due end,
         attention = case when r.attention is null and r.holder is null and (wish is not null or r.due > now)
                          then greatest(r.due, now) else r.attention end
    from unnest(tids, grow, have) as h (tid, size, nth)
   where r.ctid = h.tid
  returning h.nth, r.head_seq;
  if cardinality(grow_rooms.rooms) > coalesce(cardinality(have), 0) then
    return query
    with fresh as materialized (
      select u.* from unnest(grow_rooms.rooms, grow_rooms.sizes) with ordinality as u (room, size, nth)
        left join unnest(have) as k (nth) on k.nth = u.nth
       where k.nth is null
    ), made as (
      insert into roomcast.rooms (room, head_seq, due, attention) select f.room, f.size, now, wish from fresh f order by f.nth
    )
    select f.nth, f.size::bigint from fresh f;
  end if;
end
$$;

commit;
