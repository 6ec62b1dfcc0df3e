-- What a chat's transaction runs once its changes are captured: into the outbox, or
-- counted as unroutable. Nothing here leaves Postgres, and nothing waits for a row that
-- another transaction holds.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- fits_channel: can a channel carry this room? Bytes outside A-Za-z0-9_-@,.; are written
-- =XX, a name has 164 characters, private-room- is thirteen of them. The database does not
-- know which kinds of channel a function serves: if a room fits none of them because of
-- their longer prefixes, the relay parks its events and logs it. If such rooms were
-- unroutable here, functions with private-room- alone would lose their events.
create or replace function roomcast.fits_channel(room text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select room <> '' and (octet_length(room) <= 50
      or 3 * octet_length(room) - 2 * length(regexp_replace(room, '[^A-Za-z0-9_@,.;-]', '', 'g')) <= 151)
$$;

-- note_wakeup_wanted remembers that this transaction will request a wake-up at its commit.
-- A rolled back savepoint undoes this, too.
create or replace function roomcast.note_wakeup_wanted() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('roomcast.wakeup_wanted', pg_current_xact_id()::text, true);
end
$$;

-- room_key, user_key: under which a room or a user's personal stream is numbered.
create or replace function roomcast.room_key(room text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case when left(room, 1) = '@' then '@' || room else room end
$$;
create or replace function roomcast.user_key(user_id uuid) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select '@' || user_id::text
$$;

-- last_rooms: the keys of the rooms and users to which a row was sent and for which no
-- deletion was sent since.
create or replace function roomcast.last_rooms(attached int, key_hash bigint) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return array(
    select o.room from (
      select distinct on (b.room) b.room, b.op from roomcast.outbox b
       where b.key_hash = last_rooms.key_hash and b.attached = last_rooms.attached
       order by b.room, b.id desc) o
     where o.op <> 'DELETE' order by o.room);
end
$$;

-- field_of reads a field of a record as text, null where the record cannot be taken apart,
-- not even by pick().
create or replace function roomcast.field_of(record text, field text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return record::json ->> field;
exception when others or assert_failure then
  begin
    return roomcast.pick(record, array[field])::json ->> field;
  exception when others or assert_failure then
    return null;
  end;
end
$$;

-- note_unroutable counts changes that went nowhere.
create or replace function roomcast.note_unroutable(attached int, op text, reason text, count bigint default 1) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  insert into roomcast.unroutable (attached, op, reason, count)
    values (note_unroutable.attached, note_unroutable.op, left(note_unroutable.reason, 200), note_unroutable.count)
$$;

-- keep_taken_keys: a statement may give a row the key that another one had before it, as in a
-- list that moves up. To those who listen that key's row was changed, not deleted: whichever
-- of the two the statement came to first.
create or replace function roomcast.keep_taken_keys(taken roomcast.captured[]) returns roomcast.captured[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select array(
    select case when t.op = 'INSERT' and t.had then row(t.n, 'UPDATE', t.room, t.key_hash, t.record, null, t.stub, t.member)::roomcast.captured
                else row(t.n, t.op, t.room, t.key_hash, t.record, t.old, t.stub, t.member)::roomcast.captured end
      from (select u.*, bool_or(u.op = 'DELETE') over same and u.room || u.key_hash is not null as had, bool_or(u.op = 'INSERT') over same and u.room || u.key_hash is not null as has
              from unnest(keep_taken_keys.taken) with ordinality as u (n, op, room, key_hash, record, old, stub, member, i)
            window same as (partition by u.room, u.key_hash)) t
     where not (t.op = 'DELETE' and t.has)
     order by t.i)
$$;

-- enqueue writes captured events into the outbox, and counts those without a room or a key as
-- unroutable. A user who became or was a member also gets the event in the personal stream.
-- everywhere means that the rows were deleted, not just moved out of a room: see scrub.
--
-- The INSERT takes its lock on the outbox before it looks whether the relay is awake:
-- may_sleep() relies on that order.
create or replace function roomcast.enqueue(attached int, kind text, taken roomcast.captured[], crowded text[], everywhere boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  written bigint;
  wakes   boolean;
  deletes boolean;
begin
  if cardinality(taken) = 0 then
    return;
  end if;
  deletes := exists (select from unnest(taken) t where t.op = 'DELETE');
  if deletes and kind = 'members' then
    taken := roomcast.keep_members(attached, taken);
  elsif deletes and kind = 'rows' and not everywhere and exists (select from unnest(taken) t where t.op = 'INSERT') then
    taken := roomcast.keep_taken_keys(taken);
  end if;
  with counted as (
    insert into roomcast.outbox as b (attached, op, room, key_hash, record, old, stub, wants_wakeup)
    select enqueue.attached, t.op, t.room, t.key_hash, t.record, t.old, t.stub, t.i = 1 and roomcast.wants_wakeup()
      from unnest(taken) with ordinality as t (n, op, room, key_hash, record, old, stub, member, i)
     where t.room is not null and t.key_hash is not null and octet_length(t.record) <= 262144
       and (octet_length(t.room) between 1 and 50 or roomcast.fits_channel(t.room))
       and (crowded is null or t.room <> all (crowded))
    returning b.wants_wakeup
  )
  select count(*), bool_or(c.wants_wakeup) into written, wakes from counted c;
  if wakes then
    perform roomcast.note_wakeup_wanted();
  end if;
  if written < cardinality(taken) then
    insert into roomcast.unroutable (attached, op, reason, count)
    select enqueue.attached, t.op, r.reason, count(*)
      from unnest(taken) t cross join lateral (select case
             when t.room is null and t.key_hash is null then 'no room and no key'
             when t.room is null then 'no room'
             when t.key_hash is null then 'a column of ids is null'
             when not roomcast.fits_channel(t.room) then case t.room when '' then 'an empty room' else 'a room too long for a channel' end
             when octet_length(t.record) > 262144 then 'ids too long' end as reason) r
     where r.reason is not null and (crowded is null or t.room is null or t.room <> all (crowded))
     group by t.op, r.reason;
  end if;
  if kind = 'members' then
    perform roomcast.note_members(attached, taken, crowded);
  elsif deletes and kind = 'rows' then
    perform roomcast.scrub(attached, taken, crowded, everywhere);
  end if;
end
$$;

-- enqueue_bulk writes one event for each crowded room, in which many rows changed at once.
-- Pages then load their tables again.
create or replace function roomcast.enqueue_bulk(attached int, op text, crowded text[], counts bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  event constant text := (select a.name from roomcast.attached_tables a where a.id = enqueue_bulk.attached);
begin
  insert into roomcast.capture_skips (attached) select enqueue_bulk.attached where op in ('INSERT', 'UPDATE');
  perform roomcast.enqueue(attached, 'bulk', array(
    select row(0, 'BULK', c.room, 0, row_to_json(told)::text, null, false, null)::roomcast.captured
      from unnest(crowded, counts) as c (room, count) cross join lateral (select event as name, op as op, c.count as count) told), null, false);
end
$$;

-- collapse replaces the rows of a crowded room that this transaction has written one by one
-- since a time by one bulk event, for when capture could not count them beforehand. Rooms in
-- told already have their bulk event.
create or replace function roomcast.collapse(attached int, op text, since timestamptz, told text[] default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  crowded text[];
  counts  bigint[];
begin
  select array_agg(c.room), array_agg(c.count) into crowded, counts
    from (select o.room, count(*) as count from roomcast.outbox o
           where o.xid = pg_current_xact_id_if_assigned() and o.attached = collapse.attached and o.at >= since and o.op <> 'BULK'
             and (told is null or o.room <> all (told))
           group by o.room having count(*) > (select bulk from roomcast.settings)) c;
  if crowded is not null or told is not null then
    delete from roomcast.outbox o
     where o.xid = pg_current_xact_id() and o.attached = collapse.attached and o.at >= since and o.op <> 'BULK'
       and o.room = any (crowded || told);
  end if;
  if crowded is not null then
    perform roomcast.enqueue_bulk(attached, op, crowded, counts);
  end if;
end
$$;

-- scrub removes deleted rows' text from the outbox rows that are still kept: each becomes a
-- deletion with the row's ids only. If there are many rows, or if an UPDATE could fail
-- because of the transaction's isolation level, the sweep does it a little later. A locked
-- row is just being cleaned.
create or replace function roomcast.scrub(attached int, taken roomcast.captured[], crowded text[], everywhere boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  if crowded is not null or current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    insert into roomcast.scrub_queue (attached, room, key_hashes, last_id)
    select scrub.attached, p.room, array_agg(distinct t.key_hash), coalesce(pg_sequence_last_value('roomcast.outbox_id_seq'), 0)
      from unnest(taken) t cross join lateral (select case when not everywhere then t.room end as room) p
     where t.op = 'DELETE' and t.key_hash is not null
     group by p.room;
    return;
  end if;
  update roomcast.outbox o set op = 'DELETE', record = k.record, old = null, stub = false
    from (select b.id, t.record
            from unnest(taken) t join roomcast.outbox b on b.key_hash = t.key_hash
           where t.op = 'DELETE' and b.attached = scrub.attached and b.op <> 'DELETE' and (everywhere or b.room = t.room)
             for update of b skip locked) k
   where o.id = k.id;
end
$$;

commit;
