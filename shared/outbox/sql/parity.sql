-- The dual run: what pages saw of it.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- add_counts adds two histograms; the shorter one has zeros at its end.
create or replace function roomcast.add_counts(a bigint[], b bigint[]) returns bigint[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(coalesce(t.x, 0) + coalesce(t.y, 0) order by t.i), '{}')
    from unnest(add_counts.a, add_counts.b) with ordinality as t (x, y, i)
$$;

create or replace aggregate roomcast.sum_counts(bigint[]) (
  sfunc = roomcast.add_counts, stype = bigint[], initcond = '{}'
);

-- note_receipt adds one page's counts to its room's hour, once: the relay has
-- authorized the user for the room and checked the counts. n must have grown since
-- the last receipt of this page and room; how fast it may grow bounds what a page can
-- write, and how many pages one user may have bounds the rest. It returns 'noted',
-- 'repeat', 'early' or 'many'.
create or replace function roomcast.note_receipt(user_id uuid, page uuid, room text, n bigint, counts jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  this_hour constant timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
  last roomcast.receipts;
begin
  select * into last from roomcast.receipts r
   where r.user_id = note_receipt.user_id and r.page = note_receipt.page and r.room = note_receipt.room for update;
  if last.n >= n then
    return 'repeat';
  elsif n > 20 + coalesce(extract(epoch from clock_timestamp() - last.first_at) / 5, 0) then
    return 'early';   -- twenty at once, then one in five seconds
  elsif last.n is null and (
      select count(*) from roomcast.receipts r
       where r.user_id = note_receipt.user_id and r.first_at > clock_timestamp() - interval '1 hour') >= 200 then
    return 'many';
  end if;
  insert into roomcast.receipts as r (user_id, page, room, n, hour) values (user_id, page, room, n, this_hour)
  on conflict on constraint receipts_pkey do update
     set n = excluded.n, hour = excluded.hour, at = excluded.at where r.n < excluded.n;
  if not found then
    return 'repeat';   -- the same page's first receipt came twice at once
  end if;
  insert into roomcast.parity as p (
    room, hour, receipts, pages, saw_both, only_pusher, only_supabase, fetched, pusher_repeats, supabase_repeats,
    flips, skewed, pusher_delays, supabase_delays)
  select room, this_hour, 1, (last.hour is distinct from this_hour)::int, c.saw_both, c.only_pusher, c.only_supabase,
         c.fetched, c.pusher_repeats, c.supabase_repeats, c.flips, c.skewed,
         c.pusher_delays, c.supabase_delays
    from jsonb_populate_record(null::roomcast.parity, counts) c
  on conflict on constraint parity_pkey do update set
    receipts         = p.receipts         + excluded.receipts,
    pages            = p.pages            + excluded.pages,
    saw_both         = p.saw_both         + excluded.saw_both,
    only_pusher      = p.only_pusher      + excluded.only_pusher,
    only_supabase    = p.only_supabase    + excluded.only_supabase,
    fetched          = p.fetched          + excluded.fetched,
    pusher_repeats   = p.pusher_repeats   + excluded.pusher_repeats,
    supabase_repeats = p.supabase_repeats + excluded.supabase_repeats,
    flips            = p.flips            + excluded.flips,
    skewed           = p.skewed           + excluded.skewed,
    pusher_delays    = roomcast.add_counts(p.pusher_delays, excluded.pusher_delays),
    supabase_delays  = roomcast.add_counts(p.supabase_delays, excluded.supabase_delays);
  return 'noted';
end
$$;

-- parity_since is what is known per room and hour, with the messages committed
-- meanwhile: those whose rows are still kept, and those the retention has taken.
-- Edits, deletions and members are no messages, nor is one deleted since.
create or replace function roomcast.parity_since(since timestamptz) returns setof roomcast.parity
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with kept as (
    select o.room, date_trunc('hour', o.at, 'UTC') as hour, count(*) as size
      from roomcast.outbox o join roomcast.attached_tables s on s.id = o.attached
     where o.at >= parity_since.since and o.op = 'INSERT' and s.kind = 'messages'
     group by 1, 2
  )
  select coalesce(p.room, k.room), coalesce(p.hour, k.hour), coalesce(p.receipts, 0), coalesce(p.pages, 0),
         coalesce(p.committed, 0) + coalesce(k.size, 0),
         coalesce(p.saw_both, 0), coalesce(p.only_pusher, 0), coalesce(p.only_supabase, 0), coalesce(p.fetched, 0),
         coalesce(p.pusher_repeats, 0), coalesce(p.supabase_repeats, 0),
         coalesce(p.flips, 0), coalesce(p.skewed, 0),
         coalesce(p.pusher_delays, '{}'), coalesce(p.supabase_delays, '{}')
    from (select * from roomcast.parity q where q.hour >= date_trunc('hour', parity_since.since, 'UTC')) p
    full join kept k on k.room = p.room and k.hour = p.hour
$$;

-- parity_report is what GET /parity tells, from one snapshot: every hour, and the
-- rooms with most trouble first, at most max_rooms of them.
create or replace function roomcast.parity_report(since timestamptz, max_rooms int) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with cells as materialized (
    select * from roomcast.parity_since(parity_report.since)
  ), by_hour as (
    select c.hour, sum(c.receipts) as receipts, sum(c.pages) as pages, sum(c.committed) as committed,
           sum(c.saw_both) as saw_both, sum(c.only_pusher) as only_pusher, sum(c.only_supabase) as only_supabase,
           sum(c.fetched) as fetched, sum(c.pusher_repeats) as pusher_repeats, sum(c.supabase_repeats) as supabase_repeats,
           sum(c.flips) as flips, sum(c.skewed) as skewed,
           roomcast.sum_counts(c.pusher_delays) as pusher_delays,
           roomcast.sum_counts(c.supabase_delays) as supabase_delays
      from cells c group by c.hour
  ), by_room as (
    select c.room, max(c.hour) filter (where c.receipts > 0) as hour,
           sum(c.receipts) as receipts, sum(c.pages) as pages, sum(c.committed) as committed,
           sum(c.saw_both) as saw_both, sum(c.only_pusher) as only_pusher, sum(c.only_supabase) as only_supabase,
           sum(c.fetched) as fetched, sum(c.pusher_repeats) as pusher_repeats, sum(c.supabase_repeats) as supabase_repeats,
           sum(c.flips) as flips, sum(c.skewed) as skewed,
           roomcast.sum_counts(c.pusher_delays) as pusher_delays,
           roomcast.sum_counts(c.supabase_delays) as supabase_delays
      from cells c group by c.room
  ), troubled as (
    select * from by_room r
     order by r.only_supabase desc, r.only_pusher desc, r.pusher_repeats + r.flips desc, r.committed desc, r.room
     limit parity_report.max_rooms
  )
  select jsonb_build_object(
    'at',            clock_timestamp(),
    'rooms_active',  (select count(*) from by_room r where r.committed > 0),
    'rooms_watched', (select count(*) from by_room r where r.receipts > 0),
    'hours',         coalesce((select jsonb_agg(to_jsonb(h) order by h.hour) from by_hour h), '[]'),
    'rooms',         coalesce((select jsonb_agg(to_jsonb(t) order by t.only_supabase desc, t.only_pusher desc,
                        t.pusher_repeats + t.flips desc, t.committed desc, t.room) from troubled t), '[]'),
    'repaired',      (select coalesce(sum(a.repaired), 0) from roomcast.audits a where a.at >= parity_report.since))
$$;

-- clean_parity removes what is older than two weeks, and the notes that have served.
create or replace function roomcast.clean_parity(max_rows int) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  delete from roomcast.parity p where (p.room, p.hour) in (
    select q.room, q.hour from roomcast.parity q where q.hour < clock_timestamp() - interval '14 days' limit clean_parity.max_rows);
  delete from roomcast.receipts r where (r.user_id, r.page, r.room) in (
    select q.user_id, q.page, q.room from roomcast.receipts q where q.at < clock_timestamp() - interval '2 days' limit clean_parity.max_rows);
  delete from roomcast.audits a where a.at < clock_timestamp() - interval '14 days';
  delete from roomcast.capture_skips q where q.at < clock_timestamp() - (select s.retention from roomcast.settings s);
$$;

commit;
