-- The operator's functions, applied after functions.sql and as often as you like.
-- None is given to roomcast_relay but backlog(), which its metrics show. The rest
-- run with the rights of whoever calls them: the owner of the schema.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

-- backlog tells what Pusher has not accepted yet: rows, of them those still without a
-- number, the age of the oldest in seconds (null when nothing waits), rooms, rooms
-- under lease and how many rows these have waiting; and how many events are parked.
-- It reads one row per waiting room, and all that is not numbered: nothing while
-- nothing waits.
create or replace function roomcast.backlog(
  out waiting bigint, out unnumbered bigint, out oldest double precision,
  out rooms bigint, out leased_rooms bigint, out leased bigint, out parked bigint)
language sql volatile security definer set search_path = '' as $$
  with fresh as (
    select o.at from roomcast.outbox o where o.xid >= (select c.next_xid from roomcast.cursor c)
    union all
    select o.at from roomcast.outbox o
     where o.xid = any (array(select unnest(c.open_xids) from roomcast.cursor c))
       and o.xid < (select c.next_xid from roomcast.cursor c)
  ), late as (
    select r.room, r.sent_seq + 1 as head, r.head_seq - r.sent_seq as size,
           r.holder is not null and r.due > (select clock_timestamp()) as is_leased
      from roomcast.rooms r where r.head_seq > r.sent_seq
  ), first as (
    select o.at from late l
     cross join lateral (
       select g.ids[l.head - g.first_seq + 1] as id from roomcast.runs g
        where g.room = l.room and g.first_seq <= l.head
        order by g.first_seq desc limit 1) g
      join roomcast.outbox o on o.id = g.id
  )
  select (select count(*) from fresh) + coalesce((select sum(l.size) from late l), 0)::bigint,
         (select count(*) from fresh),
         extract(epoch from clock_timestamp() - least((select min(f.at) from fresh f), (select min(f.at) from first f)))::double precision,
         (select count(*) from late l),
         (select count(*) from late l where l.is_leased),
         coalesce((select sum(l.size) from late l where l.is_leased), 0)::bigint,
         (select count(*) from roomcast.parked)
$$;

-- at_seq finds the outbox row that a room's seq was given to.
create or replace function roomcast.at_seq(room text, seq bigint) returns bigint
language sql stable set search_path = '' as $$
  select g.ids[$2 - g.first_seq + 1] from roomcast.runs g
   where g.room = $1 and g.first_seq <= $2 and g.last_seq >= $2
   order by g.first_seq desc limit 1
$$;

-- seq_of finds the seq that an outbox row of a room was given; null while it has none.
-- It looks through the room's runs.
create or replace function roomcast.seq_of(room text, outbox_id bigint) returns bigint
language sql stable set search_path = '' as $$
  select g.first_seq + array_position(g.ids, $2) - 1 from roomcast.runs g
   where g.room = $1 and $2 = any (g.ids)
$$;

-- skip parks the event at which a room is stuck, and moves the room past it. The event
-- keeps its seq: browsers see the gap and fetch it over HTTP. seq must be the first
-- that waits, so that nobody skips what they have not looked at. The fence moves, too:
-- a relay that is trying this very event finds its ack refused.
create or replace function roomcast.skip(room text, seq bigint, reason text) returns void
language plpgsql set search_path = '' as $$
declare
  r roomcast.rooms;
begin
  select * into r from roomcast.rooms x where x.room = $1 for update;
  if not found or r.head_seq = r.sent_seq then
    raise exception 'room: nothing waits in %', $1 using errcode = 'no_data_found';
  end if;
  if $2 <> r.sent_seq + 1 then
    raise exception 'seq: the first that waits is %, not %', r.sent_seq + 1, $2 using errcode = 'invalid_parameter_value';
  end if;
  insert into roomcast.parked (room, seq, outbox_id, reason)
  values ($1, $2, roomcast.at_seq($1, $2), left('skipped by hand: ' || $3, 500))
  on conflict on constraint parked_pkey do update set reason = excluded.reason, at = excluded.at;
  update roomcast.rooms x
     set sent_seq = $2, fence = x.fence + 1, holder = null, due = clock_timestamp()
   where x.room = $1;
  if not roomcast.is_awake() and roomcast.has_waiting() then
    perform roomcast.ring();   -- for what waited behind it
  end if;
end
$$;

-- sent_again returns the rows of a room that the relay has passed, accepted or parked,
-- as they are today, for an operator to send once more. What the relay has still to
-- send is not among them: that would be n+1 before n.
create or replace function roomcast.sent_again(room text, first_seq bigint, last_seq bigint)
returns table (seq bigint, epoch text, at text, kind text, op text, keys text[], record text, parked text)
language sql stable set search_path = '' as $$
  select n.seq, r.epoch, to_char(o.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
         s.kind, o.op, s.keys, o.record::text, p.reason
    from roomcast.rooms r
    join roomcast.runs g on g.room = r.room and g.first_seq <= $3 and g.last_seq >= $2
   cross join lateral (
     select u.id, g.first_seq + u.i - 1 as seq from unnest(g.ids) with ordinality as u (id, i)) n
    join roomcast.outbox o on o.id = n.id
    join roomcast.sources s on s.id = o.source
    left join roomcast.parked p on p.room = r.room and p.seq = n.seq
   where r.room = $1 and n.seq between $2 and least($3, r.sent_seq)
   order by n.seq
$$;

select roomcast.close_to_all();
grant execute on function roomcast.backlog() to roomcast_relay;
commit;
