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
-- write, how many pages and messages one user may report in an hour bounds the rest. A
-- user counts once for a room and hour, whatever the number of pages. It returns 'noted',
-- 'repeat', 'early' or 'many'.
create or replace function roomcast.note_receipt(user_id uuid, page uuid, room text, n bigint, counts jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
#variable_conflict use_variable
declare
  this_hour constant timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
  last roomcast.receipts;
  first_of_user boolean;
  seen roomcast.parity;
  compared bigint;
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
  seen := jsonb_populate_record(null::roomcast.parity, counts);
  compared := seen.saw_both + seen.only_pusher + seen.only_supabase;
  if compared + coalesce((select u.compared from roomcast.parity_users u
                           where u.hour = this_hour and u.user_id = note_receipt.user_id), 0) > 20000 then
    return 'many';   -- an honest user sees some thousand messages in an hour
  end if;
  first_of_user := not exists (
    select from roomcast.receipts r where r.user_id = note_receipt.user_id and r.room = note_receipt.room and r.hour = this_hour);
  insert into roomcast.receipts as r (user_id, page, room, n, hour) values (user_id, page, room, n, this_hour)
  on conflict on constraint receipts_pkey do update
     set n = excluded.n, hour = excluded.hour, at = excluded.at where r.n < excluded.n;
  if not found then
    return 'repeat';   -- the same page's first receipt came twice at once
  end if;
  insert into roomcast.parity as p (
    room, hour, receipts, pages, saw_both, only_pusher, only_supabase, fetched, pusher_repeats, supabase_repeats,
    flips, skewed, pusher_delays, supabase_delays)
  select room, this_hour, 1, first_of_user::int, seen.saw_both, seen.only_pusher, seen.only_supabase,
         seen.fetched, seen.pusher_repeats, seen.supabase_repeats, seen.flips, seen.skewed,
         seen.pusher_delays, seen.supabase_delays
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
  insert into roomcast.parity_users as u (user_id, hour, receipts, compared, only_supabase)
  values (user_id, this_hour, 1, compared, seen.only_supabase)
  on conflict on constraint parity_users_pkey do update
     set receipts = u.receipts + 1, compared = u.compared + excluded.compared, only_supabase = u.only_supabase + excluded.only_supabase;
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
     where o.at >= parity_since.since and o.op = 'INSERT' and s.kind = 'rows' and s.name = 'message'
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

-- parity_report is what GET /parity tells, from one snapshot: every hour, the rooms with
-- most trouble first, at most max_rooms of them, and the users whose pages reported most.
create or replace function roomcast.parity_report(since timestamptz, max_rooms int) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with cells as materialized (
    select * from roomcast.parity_since(parity_report.since)
  ), sums as (   -- of each hour, its room null; and of each room, its hour the last with receipts
    select c.room, case when grouping(c.room) = 1 then c.hour else max(c.hour) filter (where c.receipts > 0) end as hour,
           sum(c.receipts) as receipts, sum(c.pages) as pages, sum(c.committed) as committed,
           sum(c.saw_both) as saw_both, sum(c.only_pusher) as only_pusher, sum(c.only_supabase) as only_supabase,
           sum(c.fetched) as fetched, sum(c.pusher_repeats) as pusher_repeats, sum(c.supabase_repeats) as supabase_repeats,
           sum(c.flips) as flips, sum(c.skewed) as skewed,
           roomcast.sum_counts(c.pusher_delays) as pusher_delays,
           roomcast.sum_counts(c.supabase_delays) as supabase_delays
      from cells c group by grouping sets ((c.hour), (c.room))
  ), by_hour as (
    select * from sums s where s.room is null
  ), by_room as (
    select * from sums s where s.room is not null
  ), troubled as (
    select * from by_room r
     order by r.only_supabase desc, r.only_pusher desc, r.pusher_repeats + r.flips desc, r.committed desc, r.room
     limit parity_report.max_rooms
  ), by_user as (
    select u.user_id, sum(u.receipts) as receipts, sum(u.compared) as compared, sum(u.only_supabase) as only_supabase
      from roomcast.parity_users u where u.hour >= date_trunc('hour', parity_report.since, 'UTC') group by u.user_id
  )
  select jsonb_build_object(
    'at',            clock_timestamp(),
    'users_watching', (select count(*) from by_user),
    'users',         coalesce((select jsonb_agg(to_jsonb(t)) from (
                        select * from by_user u order by u.only_supabase desc, u.compared desc, u.user_id limit 5) t), '[]'),
    'most_of_one',   (select coalesce(max(u.compared), 0) from by_user u),
    'of_all',        (select coalesce(sum(u.compared), 0) from by_user u),
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
  delete from roomcast.parity_users u where (u.hour, u.user_id) in (
    select q.hour, q.user_id from roomcast.parity_users q where q.hour < clock_timestamp() - interval '14 days' limit clean_parity.max_rows);
  delete from roomcast.receipts r where (r.user_id, r.page, r.room) in (
    select q.user_id, q.page, q.room from roomcast.receipts q where q.at < clock_timestamp() - interval '2 days' limit clean_parity.max_rows);
  delete from roomcast.audits a where a.at < clock_timestamp() - interval '14 days';
  delete from roomcast.capture_skips q where q.at < clock_timestamp() - (select s.retention from roomcast.settings s);
$$;

commit;
