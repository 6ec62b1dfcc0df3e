-- The claim of a chat at its usual pace: one new row, and nothing else to do.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- claim_one numbers the only row that has no number yet, leases its room and returns it, as
-- assign_seqs and claim do for any number of rows, at a third of their cost: one update of
-- the room, no row of it sorted or counted. It returns nothing, and has written nothing,
-- where something else is to be done: another row is new, the room is under lease or has
-- rows waiting, another room wants attention, a restore or a large transaction is under way.
-- What is new, and the cursor behind it, are as pick_rows says.
create or replace function roomcast.claim_one(relay text, lease interval)
returns table (room text, epoch text, fence bigint, clock text, seq bigint, at text, kind text, name text, op text, keys text[], record text, old text, stub boolean)
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  c      roomcast.cursor;
  sees   pg_snapshot;
  open   xid8[];
  ended  xid8[];
  fresh  bigint[];
  o      roomcast.outbox;
  tid    tid;
  r      roomcast.rooms;
  number bigint;
begin
  if exists (select from roomcast.rooms r where r.attention <= (select clock_timestamp()))
     or not pg_try_advisory_xact_lock(hashtextextended('roomcast.assign_seqs', 0))
     or (select s.restoring is not null from roomcast.settings s)
     or exists (select from roomcast.departures d where d.room is not null) then
    return;
  end if;
  c := roomcast.last_cursor();
  sees := pg_current_snapshot();   -- later than the cursor, which nobody moves meanwhile
  if c.next_xid > pg_snapshot_xmax(sees) or cardinality(c.large_xids) > 0 then
    return;
  end if;
  open  := array(select pg_snapshot_xip(sees)) || pg_current_xact_id();
  ended := array(select x from unnest(c.open_xids) x where x <> all (open));
  fresh := array(
    (select n.id from roomcast.outbox n where n.xid >= c.next_xid and n.xid < pg_snapshot_xmax(sees) and n.xid <> all (open) limit 2)
    union all
    (select n.id from roomcast.outbox n where n.xid = any (ended) limit 2));
  if cardinality(fresh) <> 1 or fresh[1] <= c.restored_id then
    return;
  end if;
  select * into o from roomcast.outbox n where n.id = fresh[1];
  tid := (select r.ctid from roomcast.rooms r   -- newest version first, see claim.sql
           where r.room >= o.room and r.room <= o.room and r.head_seq = r.sent_seq and r.due <= (select clock_timestamp())
           order by r.room desc limit 1 for update skip locked);
  update roomcast.rooms r
     set head_seq = r.head_seq + 1, fence = r.fence + 1, due = clock_timestamp() + claim_one.lease, holder = claim_one.relay, attention = null
   where r.ctid = tid
  returning * into r;
  if not found then
    return;
  end if;
  insert into roomcast.seq_ranges (room, first_seq, last_seq, ids, newest) values (r.room, r.head_seq, r.head_seq, fresh, o.at);
  insert into roomcast.cursor (next_xid, open_xids, restored_id)
  values (pg_snapshot_xmax(sees), array(select distinct x from unnest(open) x where x < pg_snapshot_xmax(sees)), c.restored_id)
  returning id into number;
  if number % 100 = 0 then
    delete from roomcast.cursor x where x.id < number;
  end if;
  perform roomcast.set_clock('roomcast.last_claim', clock_timestamp());
  return query
  select r.room, r.epoch || s.incarnation, r.fence, clock_timestamp()::text, r.head_seq, o.at::text, a.kind, coalesce(o.name, a.name), o.op,
         case when o.op = 'DELETE' or octet_length(o.record) > 4000 then a.keys end,
         case when octet_length(o.record) > 10000 then roomcast.pick(o.record, a.keys) else o.record end,
         case when octet_length(o.record) + octet_length(coalesce(o.old, '')) <= 10000 then o.old end,
         o.stub or octet_length(o.record) > 10000
    from roomcast.settings s
    left join roomcast.attached_tables a on a.id = o.attached;
end
$$;

commit;
