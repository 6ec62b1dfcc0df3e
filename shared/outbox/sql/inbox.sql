-- The inbox: how far each user has read, and how many messages that leaves.
--
-- Unread messages are counted from the rooms' numbers: the messages numbered behind what
-- was read. Nothing is counted in the chat's own transactions. A deleted message is not
-- counted, since its kept row has become a deletion (see scrub_queued). When the retention
-- takes a message's row, old_messages keeps its number, for the last thousand of a room.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- mark_read notes that a user has read a room up to a seq, never back, and never beyond
-- what is numbered.
create or replace function roomcast.mark_read(room text, user_id uuid, seq bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  insert into roomcast.reads as d (user_id, room, epoch, seq)
  select mark_read.user_id, r.room, r.epoch || (select s.incarnation from roomcast.settings s), least(mark_read.seq, r.head_seq)
    from roomcast.rooms r where r.room = roomcast.room_key(mark_read.room) and mark_read.seq >= 0
  on conflict on constraint reads_pkey do update
    set seq = case when d.epoch = excluded.epoch then greatest(d.seq, excluded.seq) else excluded.seq end,
        epoch = excluded.epoch, at = clock_timestamp()
  where (d.epoch, d.seq) is distinct from (excluded.epoch, greatest(d.seq, excluded.seq))
$$;
comment on function roomcast.mark_read(text, uuid, bigint) is 'Notes how far a user has read a room.';

-- unread counts the messages of a room that are numbered behind a seq and were written
-- since a time, up to a thousand. room is its key.
create or replace function roomcast.unread(room text, after bigint, since timestamptz) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off as $$
begin
  return least(1000,
    (select count(*) from (
       select from roomcast.seq_ranges g
        cross join lateral unnest(g.ids) with ordinality as u (id, i)
        cross join lateral (   -- by its key, see history()
          select r.attached, r.op, r.at from roomcast.outbox r where r.id >= u.id and r.id <= u.id order by r.id limit 1) o
         join roomcast.attached_tables a on a.id = o.attached
        where g.room = unread.room
          and g.first_seq >= coalesce((select max(p.first_seq) from roomcast.seq_ranges p where p.room = unread.room and p.first_seq <= unread.after + 1), 0)
          and g.first_seq + u.i - 1 > unread.after
          and o.op = 'INSERT' and o.at >= unread.since and a.kind = 'rows' and a.name = 'message'
        limit 1000) kept)
    + (select count(*) from (   -- offset 0: of the room only, each by its key, whatever the planner expects
         select * from roomcast.old_messages m
          where m.room = unread.room and m.seq > unread.after and m.at >= unread.since offset 0) m
        where not exists (select from roomcast.outbox o where o.key_hash = m.key_hash and o.attached = m.attached and o.op = 'DELETE' and o.room = m.room offset 0)));
end
$$;

-- how_far_read tells of some rooms where they stand, under which key, and how far a user has
-- read them. Each room is looked up by itself, whatever the planner expects.
create or replace function roomcast.how_far_read(rooms text[], user_id uuid)
returns table (id text, room text, epoch text, head bigint, read bigint, last_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
begin
  return query
  select u.id, r.room, coalesce(r.epoch || t.incarnation, ''), coalesce(r.head_seq, 0), coalesce(d.seq, 0),
         (select g.at from roomcast.seq_ranges g where g.room = r.room order by g.first_seq desc limit 1)
    from unnest(how_far_read.rooms) as u (id)
    cross join roomcast.settings t
    left join lateral (select x.room, x.epoch, x.head_seq from roomcast.rooms x where x.room = roomcast.room_key(u.id) offset 0) r on true
    left join lateral (
      select x.seq from roomcast.reads x
       where x.user_id = how_far_read.user_id and x.room = r.room collate "default" and x.epoch = r.epoch || t.incarnation offset 0) d on true;
end
$$;

-- inbox lists the rooms of which a user is a member, up to five hundred: where each stands,
-- how far the user has read it, and how many messages are unread, a thousand at most.
-- last_at is when the last message that is still kept was written.
create or replace function roomcast.inbox(user_id uuid)
returns table (room text, epoch text, head bigint, read bigint, unread bigint, last_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  select m.id, m.epoch, m.head, m.read,
         case when m.room is null then 0 else roomcast.unread(m.room, m.read, roomcast.readable_from(m.id, inbox.user_id)) end,
         m.last_at
    from roomcast.how_far_read(array(select x.id from roomcast.rooms_of(inbox.user_id) as x (id) limit 500), inbox.user_id) m
   order by 6 desc nulls last, 1;
end
$$;
comment on function roomcast.inbox(uuid) is 'The user''s rooms, with how far each was read and how many messages are unread.';

-- keep_old_messages notes the numbers of messages whose rows the retention is about to
-- take, of rooms that anybody has an inbox for, and forgets those that were deleted. It
-- keeps the last thousand of a room. (A range's room is compared as "C" is, which the indexes of
-- these tables are not.)
create or replace function roomcast.keep_old_messages(ranges roomcast.seq_ranges[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from roomcast.reads) then
    return;
  end if;
  insert into roomcast.old_messages (room, seq, attached, key_hash, at)
  select g.room, g.first_seq + u.i - 1, o.attached, o.key_hash, o.at
    from unnest(ranges) g cross join lateral unnest(g.ids) with ordinality as u (id, i)
   cross join lateral (   -- by its key, see history()
     select x.* from roomcast.outbox x where x.id >= u.id and x.id <= u.id order by x.id limit 1) o
    join roomcast.attached_tables a on a.id = o.attached
   where o.op = 'INSERT' and a.kind = 'rows' and a.name = 'message'
     and exists (select from roomcast.reads d where d.room = g.room collate "default" offset 0)
  on conflict on constraint old_messages_pkey do nothing;
  delete from roomcast.old_messages m
   where m.ctid = any (array(
     select k.place from unnest(ranges) g cross join lateral unnest(g.ids) as u (id)
      cross join lateral (select x.* from roomcast.outbox x where x.id >= u.id and x.id <= u.id order by x.id limit 1) o
      cross join lateral (   -- offset 0: by its key, whatever the planner expects
        select x.ctid as place from roomcast.old_messages x
         where x.room = g.room collate "default" and x.key_hash = o.key_hash and x.attached = o.attached offset 0) k
      where o.op = 'DELETE'));
  delete from roomcast.old_messages m
   where m.ctid = any (array(
     select k.place from (select distinct room collate "default" as room from unnest(ranges)) g
      cross join lateral (
        select x.ctid as place from roomcast.old_messages x where x.room = g.room order by x.seq desc offset 1000) k));
end
$$;

-- forget_old_messages takes deleted rows out of them: some of a table, or all of it.
create or replace function roomcast.forget_old_messages(attached int, room text, key_hashes bigint[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  delete from roomcast.old_messages m
   where m.attached = forget_old_messages.attached
     and (forget_old_messages.room is null or m.room = forget_old_messages.room)
     and (forget_old_messages.key_hashes is null or m.key_hash = any (forget_old_messages.key_hashes))
$$;

-- my_rooms is how the relay asks for a user's inbox: rooms that can_read refuses are left
-- out.
create or replace function roomcast.my_rooms(user_id uuid, claims jsonb)
returns table (room text, epoch text, head bigint, read bigint, unread bigint, last_at timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select i.* from roomcast.inbox(my_rooms.user_id) i where roomcast.may_read(i.room, my_rooms.user_id, my_rooms.claims)
$$;

commit;
