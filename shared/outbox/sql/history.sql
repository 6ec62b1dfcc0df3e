-- Catching up.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- readable_from is how the relay asks readable_since: as its owner, and with null
-- meaning no limit.
create or replace function roomcast.readable_from(room text, user_id uuid) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce(roomcast.readable_since(readable_from.room, readable_from.user_id), '-infinity');
end
$$;

-- history reads one page of a room: its numbered events after a seq, in order, sent
-- or not, parked ones too. At most max of them, and no more once a megabyte is full,
-- but always the next one, however large.
--
-- Every row repeats where the room stands; a page without events is one row with a
-- null seq, an unknown room no row. A row deleted by hand, or written before since, comes
-- with a null op: its number is to be passed over, and so are those before it that are no
-- longer kept. (No sequential scans: a session that planned this while nothing was kept read all
-- rows for each of a page.) first is the first seq still kept and written since. reset says that nothing
-- continues from after (it lies outside of first - 1 to head, or belongs to another epoch);
-- the page then begins at first.
create or replace function roomcast.history(room text, after bigint, max int, since timestamptz, known_epoch text default '')
returns table (epoch text, head bigint, sent bigint, first bigint, reset boolean,
               seq bigint, at text, kind text, name text, op text, keys text[], record text, old text, stub boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
#variable_conflict use_column
declare
  stands     roomcast.rooms;
  first_kept bigint;
  onwards    bigint := history.after;
  asked      bigint;
  starts     boolean;
  now_epoch  text;
begin
  -- All statements of a stable function see one snapshot.
  select * into stands from roomcast.rooms r where r.room = history.room;
  if not found then
    return;
  end if;
  first_kept := coalesce((select g.first_seq from roomcast.seq_ranges g
                           where g.room = history.room and g.newest >= history.since
                           order by g.first_seq limit 1), stands.head_seq + 1);
  now_epoch := stands.epoch || (select t.incarnation from roomcast.settings t);
  starts := (history.known_epoch <> '' and history.known_epoch <> now_epoch)
         or history.after not between first_kept - 1 and stands.head_seq;
  if starts then
    onwards := first_kept - 1;
  end if;
  -- Behind what was asked for there may be a hole, larger than a page: ranges go one by one.
  asked := onwards;
  if not exists (
    select from (select g.last_seq from roomcast.seq_ranges g
                  where g.room = history.room and g.first_seq <= asked + 1
                  order by g.first_seq desc limit 1) before
     where before.last_seq > asked) then
    onwards := coalesce((select min(g.first_seq) - 1 from roomcast.seq_ranges g
                          where g.room = history.room and g.first_seq > asked), stands.head_seq);
  end if;
  return query
  with numbered as (
    select u.id, g.first_seq + u.i - 1 as seq
      from roomcast.seq_ranges g cross join lateral unnest(g.ids) with ordinality as u (id, i)
     where g.room = history.room and g.first_seq <= onwards + history.max
       and g.first_seq >= coalesce((select max(p.first_seq) from roomcast.seq_ranges p where p.room = history.room and p.first_seq <= onwards + 1), 0)
       and g.first_seq + u.i - 1 between onwards + 1 and onwards + history.max
     order by 2 limit history.max
  ), page as (
    select n.seq, o.at, o.attached, o.name, o.op, o.record, o.old, o.stub,
           sum(octet_length(o.record) + coalesce(octet_length(o.old), 0)) over (order by n.seq rows between unbounded preceding and 1 preceding) as before
      from numbered n
      left join lateral (   -- each by its key, in whose order it is asked for: planned over no rows, one index seems as good as the other
        select r.at, r.attached, r.name, r.op, r.record, r.old, r.stub from roomcast.outbox r
         where r.id >= n.id and r.id <= n.id and r.at >= history.since order by r.id limit 1
      ) o on true
  )
  select now_epoch, stands.head_seq, stands.sent_seq, first_kept, starts, coalesce(p.seq, nullif(onwards, asked)),
         to_char(p.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
         s.kind, coalesce(p.name, s.name), p.op, s.keys, p.record, p.old, p.stub
    from (values (true)) as one (row)
    left join page p on coalesce(p.before, 0) < 1048576
    left join roomcast.attached_tables s on s.id = p.attached
   order by p.seq;
end
$$;

commit;
