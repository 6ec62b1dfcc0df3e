-- Delivery: how messages reach pages, by the receipts of a sample of them.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- note_delivery adds one page's counts to this hour, once: n must have grown since the
-- page's last receipt. A user counts for at most two thousand messages of an hour and
-- twenty pages, so that none of them bends the figures. It returns 'noted', 'repeat',
-- 'early' or 'many', as note_receipt does.
create or replace function roomcast.note_delivery(user_id uuid, page uuid, n bigint, counts jsonb) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
declare
  this_hour constant timestamptz := date_trunc('hour', clock_timestamp(), 'UTC');
  last  roomcast.delivery_pages;
  seen  roomcast.delivery;
  size  bigint;
begin
  select * into last from roomcast.delivery_pages p
   where p.user_id = note_delivery.user_id and p.page = note_delivery.page for update;
  seen := jsonb_populate_record(null::roomcast.delivery, counts);
  size := seen.pushed + seen.gap + seen.reconnect + seen.polled + seen.supabase + seen.missing + seen.void + seen."window";
  if last.n >= note_delivery.n then
    return 'repeat';
  elsif note_delivery.n > 20 + coalesce(extract(epoch from clock_timestamp() - last.first_at) / 30, 0) then
    return 'early';
  elsif (select count(*) >= 20 and last.n is null or coalesce(sum(p.messages) filter (where p.hour = this_hour), 0) + size > 2000
           from roomcast.delivery_pages p
          where p.user_id = note_delivery.user_id and p.at > clock_timestamp() - interval '1 hour') then
    return 'many';
  end if;
  insert into roomcast.delivery_pages as p (user_id, page, n, hour, messages)
  values (note_delivery.user_id, note_delivery.page, note_delivery.n, this_hour, size)
  on conflict on constraint delivery_pages_pkey do update
     set n = excluded.n, hour = excluded.hour, at = clock_timestamp(),
         messages = case when p.hour = excluded.hour then p.messages else 0 end + excluded.messages
   where p.n < excluded.n;
  if not found then
    return 'repeat';
  end if;
  insert into roomcast.delivery as d (hour, receipts, pushed, gap, reconnect, polled, supabase,
    late_pushed, late_gap, late_reconnect, late_polled, late_supabase, void, missing, "window", skewed, delays)
  values (this_hour, 1, seen.pushed, seen.gap, seen.reconnect, seen.polled, seen.supabase,
    seen.late_pushed, seen.late_gap, seen.late_reconnect, seen.late_polled, seen.late_supabase,
    seen.void, seen.missing, seen."window", seen.skewed, seen.delays)
  on conflict on constraint delivery_pkey do update set
    receipts = d.receipts + 1, pushed = d.pushed + excluded.pushed, gap = d.gap + excluded.gap,
    reconnect = d.reconnect + excluded.reconnect, polled = d.polled + excluded.polled,
    supabase = d.supabase + excluded.supabase,
    late_pushed = d.late_pushed + excluded.late_pushed, late_gap = d.late_gap + excluded.late_gap,
    late_reconnect = d.late_reconnect + excluded.late_reconnect, late_polled = d.late_polled + excluded.late_polled,
    late_supabase = d.late_supabase + excluded.late_supabase,
    void = d.void + excluded.void, missing = d.missing + excluded.missing, "window" = d."window" + excluded."window",
    skewed = d.skewed + excluded.skewed, delays = roomcast.add_counts(d.delays, excluded.delays);
  return 'noted';
end
$$;

-- delivery_report tells the hours since a time, in order, with the users whose pages told.
create or replace function roomcast.delivery_report(since timestamptz) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'at', clock_timestamp(),
    'users', (select count(distinct p.user_id) from roomcast.delivery_pages p where p.at >= delivery_report.since),
    'hours', coalesce((select jsonb_agg(to_jsonb(d) order by d.hour) from roomcast.delivery d
                        where d.hour >= date_trunc('hour', delivery_report.since, 'UTC')), '[]'))
$$;

-- clean_delivery forgets pages that have been silent for two days, and hours older than
-- thirty days.
create or replace function roomcast.clean_delivery(max_rows int) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  delete from roomcast.delivery_pages p
   where (p.user_id, p.page) in (select o.user_id, o.page from roomcast.delivery_pages o
                                  where o.at < clock_timestamp() - interval '2 days' limit clean_delivery.max_rows);
  delete from roomcast.delivery d where d.hour < clock_timestamp() - interval '30 days';
$$;

commit;
