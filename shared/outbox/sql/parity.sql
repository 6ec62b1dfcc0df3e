-- The move: what pages saw of it, and the audit. Applied after functions.sql and
-- operator.sql, and as often as you like. The relay is given three functions: it notes
-- receipts, reads the report and audits; it repairs nothing.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

--------------------------------------------------------------------------------
-- What pages saw.
--------------------------------------------------------------------------------

-- add_counts adds two histograms; the shorter one has zeros at its end.
create or replace function roomcast.add_counts(a bigint[], b bigint[]) returns bigint[]
language sql immutable set search_path = '' as $$
  select coalesce(array_agg(coalesce(t.x, 0) + coalesce(t.y, 0) order by t.i), '{}')
    from unnest($1, $2) with ordinality as t (x, y, i)
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
language plpgsql security definer set search_path = '' as $$
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

-- parity_since is the evidence per room and hour, with the messages committed
-- meanwhile: those whose rows are still kept, and those the retention has taken.
-- Edits, deletions and members are no messages, nor is one deleted since.
create or replace function roomcast.parity_since(since timestamptz) returns setof roomcast.parity
language sql stable security definer set search_path = '' as $$
  with kept as (
    select o.room, date_trunc('hour', o.at, 'UTC') as hour, count(*) as size
      from roomcast.outbox o join roomcast.sources s on s.id = o.source
     where o.at >= $1 and o.op = 'INSERT' and s.kind = 'messages'
     group by 1, 2
  )
  select coalesce(p.room, k.room), coalesce(p.hour, k.hour), coalesce(p.receipts, 0), coalesce(p.pages, 0),
         coalesce(p.committed, 0) + coalesce(k.size, 0),
         coalesce(p.saw_both, 0), coalesce(p.only_pusher, 0), coalesce(p.only_supabase, 0), coalesce(p.fetched, 0),
         coalesce(p.pusher_repeats, 0), coalesce(p.supabase_repeats, 0),
         coalesce(p.flips, 0), coalesce(p.skewed, 0),
         coalesce(p.pusher_delays, '{}'), coalesce(p.supabase_delays, '{}')
    from (select * from roomcast.parity q where q.hour >= date_trunc('hour', $1, 'UTC')) p
    full join kept k on k.room = p.room and k.hour = p.hour
$$;

-- parity_report is what GET /parity tells, from one snapshot: every hour, and the
-- rooms with most trouble first, at most max_rooms of them.
create or replace function roomcast.parity_report(since timestamptz, max_rooms int) returns jsonb
language sql stable security definer set search_path = '' as $$
  with cells as materialized (
    select * from roomcast.parity_since($1)
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
     limit $2
  )
  select jsonb_build_object(
    'at',            clock_timestamp(),
    'rooms_active',  (select count(*) from by_room r where r.committed > 0),
    'rooms_watched', (select count(*) from by_room r where r.receipts > 0),
    'hours',         coalesce((select jsonb_agg(to_jsonb(h) order by h.hour) from by_hour h), '[]'),
    'rooms',         coalesce((select jsonb_agg(to_jsonb(t) order by t.only_supabase desc, t.only_pusher desc,
                        t.pusher_repeats + t.flips desc, t.committed desc, t.room) from troubled t), '[]'),
    'repaired',      (select coalesce(sum(a.repaired), 0) from roomcast.audits a where a.at >= $1))
$$;

-- clean_parity removes what is older than two weeks, and the notes that have served.
create or replace function roomcast.clean_parity(max_rows int) returns void
language sql security definer set search_path = '' as $$
  delete from roomcast.parity p where (p.room, p.hour) in (
    select q.room, q.hour from roomcast.parity q where q.hour < clock_timestamp() - interval '14 days' limit $1);
  delete from roomcast.receipts r where (r.user_id, r.page, r.room) in (
    select q.user_id, q.page, q.room from roomcast.receipts q where q.at < clock_timestamp() - interval '2 days' limit $1);
  delete from roomcast.audits a where a.at < clock_timestamp() - interval '14 days';
  delete from roomcast.quiet q where q.at < clock_timestamp() - (select s.retention from roomcast.settings s);
$$;

--------------------------------------------------------------------------------
-- The audit: the chat's tables against the outbox, the outbox against what was sent.
--------------------------------------------------------------------------------

-- hash_of is the key_hash that enqueue() writes for a row. The audit's tests hold the
-- two together.
create or replace function roomcast.hash_of(source int, record jsonb, ids text[]) returns bigint
language sql immutable set search_path = '' as $$
  select hashtextextended(case cardinality($3) when 1 then $2 ->> $3[1] else roomcast.pick($2, $3)::text end, $1)
$$;

-- time_column_of names the column that says when a row was written: the one given to
-- auditing(), else one that the table itself fills with the time.
create or replace function roomcast.time_column_of(s roomcast.sources) returns name
language sql stable set search_path = '' as $$
  select coalesce(s.time_column, (
    select a.attname
      from pg_attribute a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = s.relation and not a.attisdropped
       and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
       and pg_get_expr(d.adbin, d.adrelid) ~* '\m(now|transaction_timestamp|statement_timestamp|clock_timestamp|current_timestamp|localtimestamp)\M'
       and a.attname !~* 'updat|edit|modif|chang|delet|expir|seen|read'
     order by a.attname in ('created_at', 'inserted_at', 'sent_at') desc, a.attnum
     limit 1))
$$;

-- serial_of names the primary key of a source if a sequence fills it: rows are then
-- written about in its order.
create or replace function roomcast.serial_of(s roomcast.sources) returns name
language sql stable set search_path = '' as $$
  select a.attname
    from pg_attribute a
   where a.attrelid = s.relation and array[a.attname::text] = roomcast.ids_of(s) and not a.attisdropped
     and a.atttypid in ('int4'::regtype, 'int8'::regtype)
     and (a.attidentity <> '' or pg_get_serial_sequence(s.relation::text, a.attname) is not null)
$$;

-- is_costly: would finding a source's latest rows by this column mean reading a large
-- table from end to end?
create or replace function roomcast.is_costly(relation regclass, name text) returns boolean
language sql stable set search_path = '' as $$
  select (select coalesce(sum(greatest(c.reltuples, 0)), 0) from pg_class c
           where c.oid = $1 or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = $1)) > 500000
     and not exists (
       select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = $1 and i.indpred is null and a.attname = $2)
$$;

-- missing_rows writes the part of a query, from "from" on, that finds a source's rows
-- m which the outbox should hold and does not; or, instead, why that cannot be told.
--
-- A row and its outbox row commit together, so a single statement sees both or
-- neither: however young, a row without one was never captured. Three things are no
-- loss and are left out: rows without a room, rows of transactions that had capture
-- off, rows from before the table was attached. Rows that are gone cannot be found,
-- and are not to be: nothing that was deleted is sent again.
create or replace function roomcast.missing_rows(s roomcast.sources, since interval, out query text, out note text)
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' as $$
declare
  -- The broom goes by the time of numbering, which comes later: a tenth is margin.
  start  constant timestamptz := greatest(
    clock_timestamp() - least($2, (select t.retention * 0.9 from roomcast.settings t)),
    s.attached_at + interval '10 seconds');   -- writers that queued behind attach()
  col    constant name := roomcast.time_column_of(s);
  serial constant name := roomcast.serial_of(s);
  low    bigint;
  recent text;
begin
  if col is not null then
    note   := format('by %I', col);
    recent := format('m.%I between %L::timestamptz and %L::timestamptz', col, start, clock_timestamp());
  elsif serial is not null then
    note := format('by %I', serial);
    select min((o.record ->> serial::text)::bigint) into low from roomcast.outbox o
     where o.source = s.id and o.op = 'INSERT' and o.at >= start;
    recent := format('m.%I > %L::bigint', serial, low);   -- null: nothing to compare with, nothing found
  else
    note := 'not judged: no column tells when a row was written; name one with roomcast.auditing()';
    return;
  end if;
  if roomcast.is_costly(s.relation, coalesce(col, serial)) then
    note := format('not judged: %s is large and has no index that begins with %I', s.relation, coalesce(col, serial));
    return;
  end if;
  query := format('from %s m where %s and m.%I is not null'
    ' and not exists (select from roomcast.outbox o where o.source = %s'
    ' and o.key_hash = roomcast.hash_of(%s, pg_catalog.jsonb_build_object(%s), %L))'
    ' and not exists (select from roomcast.quiet q where q.source = %s and q.xid = m.xmin::text::bigint)',
    s.relation, recent, s.room_column, s.id,
    s.id, (select string_agg(format('%L, m.%I', k, k), ', ') from unnest(roomcast.ids_of(s)) k), roomcast.ids_of(s), s.id);
end
$$;

-- audit compares, and changes nothing. One row per attached messages table and one per
-- other question, how_many 0 where all is well, null where it cannot be told:
--   missing     in the table, not in the outbox            roomcast.repair()
--   unnumbered  in the outbox, passed over by the numbering roomcast.repair()
--   waiting     not yet taken by Pusher after a minute      is the relay running?
--   holes       numbered, then deleted by hand              clients pass over them
--   parked      never to be taken by Pusher; see roomcast.parked; clients fetch them
--   roomless    had no room, and were not relayed
create or replace function roomcast.audit(since interval default '24 hours')
returns table (relation text, problem text, how_many bigint, oldest timestamptz, note text)
language plpgsql stable security definer set search_path = '' set timezone = 'UTC' as $$
#variable_conflict use_column
declare
  start constant timestamptz := clock_timestamp() - $1;
  s     roomcast.sources;
  query text;
  col   name;
begin
  problem := 'missing';
  for s in select * from roomcast.sources where kind = 'messages' and detached_at is null order by id loop
    relation := s.relation::text;
    oldest   := null;
    how_many := null;
    select * into query, note from roomcast.missing_rows(s, $1);
    col := roomcast.time_column_of(s);
    if query is not null then
      execute format('select count(*), %s %s', case when col is null then 'null::timestamptz' else format('min(m.%I)::timestamptz', col) end, query)
        into how_many, oldest;
    end if;
    return next;
  end loop;
  return query
  select null::text, 'unnumbered', count(*), min(o.at), null::text
    from roomcast.outbox o, roomcast.cursor c
   where o.xid < c.next_xid and not o.xid = any (c.open_xids)
     and not exists (select from (select unnest(r.ids) as id from roomcast.runs r) u where u.id = o.id)
  union all
  select null, 'waiting', count(*), min(o.at), null
    from (select u.id, g.room, g.first_seq + u.i - 1 as seq
            from roomcast.rooms r join roomcast.runs g on g.room = r.room and g.last_seq > r.sent_seq
           cross join lateral unnest(g.ids) with ordinality as u (id, i)
           where r.head_seq > r.sent_seq and g.first_seq + u.i - 1 > r.sent_seq
          union all
          select f.id, f.room, null from roomcast.outbox f, roomcast.cursor c
           where f.xid >= c.next_xid or f.xid = any (c.open_xids)) w
    join roomcast.outbox o on o.id = w.id
   where o.at < clock_timestamp() - interval '1 minute'
  union all
  select null, 'holes', count(*), min(g.at), null
    from roomcast.runs g cross join lateral unnest(g.ids) as u (id)
   where g.at >= greatest(start, clock_timestamp() - (select t.retention * 0.9 from roomcast.settings t))
     and not exists (select from roomcast.outbox o where o.id = u.id)
  union all
  select null, 'parked', count(*), min(p.at), null from roomcast.parked p where p.at >= start
  union all
  select null, 'roomless', count(*), min(l.at), null from roomcast.roomless l where l.at >= start;
end
$$;

-- repair enqueues again what the audit calls missing, at most max_rows of a table,
-- oldest first, and numbers what the numbering passed over. Each row is locked
-- meanwhile, so that an edit or a deletion comes after it, and one that is being
-- edited or deleted at this moment is left alone. With opted_only it touches only
-- tables for which auditing() has allowed it. What it did is noted in audits.
create or replace function roomcast.repair(since interval default '24 hours', max_rows int default 1000, opted_only boolean default false)
returns table (relation text, problem text, repaired bigint)
language plpgsql security definer set search_path = '' set timezone = 'UTC' as $$
#variable_conflict use_column
declare
  s      roomcast.sources;
  query  text;
  record jsonb;
begin
  perform pg_advisory_xact_lock(hashtextextended('roomcast.repair', 0));
  problem := 'missing';
  for s in select * from roomcast.sources where kind = 'messages' and detached_at is null and (repairs or not $3) order by id loop
    query := (roomcast.missing_rows(s, $1)).query;
    relation := s.relation::text;
    repaired := 0;
    continue when query is null;
    for record in execute format('select to_jsonb(m) %s order by m.%I limit %s for share of m skip locked', query,
                                 coalesce(roomcast.time_column_of(s), roomcast.serial_of(s)), $2) loop
      perform roomcast.enqueue(s.id, 'INSERT', record ->> s.room_column::text, record, s.columns, roomcast.ids_of(s));
      repaired := repaired + 1;
    end loop;
    if repaired > 0 then
      insert into roomcast.audits (relation, problem, repaired) values (relation, problem, repaired);
    end if;
    return next;
  end loop;
  relation := null;
  problem  := 'unnumbered';
  repaired := 0;
  if (select a.how_many > 0 from roomcast.audit('0') a where a.problem = 'unnumbered') then
    repaired := roomcast.number(full_scan => true);
    insert into roomcast.audits (problem, repaired) values (problem, repaired);
  end if;
  return next;
end
$$;

-- tend is the audit that runs by itself, every hour where there is pg_cron. It notes
-- what it finds, and repairs where auditing() has allowed it.
create or replace function roomcast.tend() returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into roomcast.audits (relation, problem, found, note)
  select a.relation, a.problem, a.how_many, a.note from roomcast.audit('3 hours') a
   where a.problem in ('missing', 'unnumbered', 'holes');
  perform roomcast.repair('3 hours', 1000, opted_only => true);
end
$$;

-- auditing sets how a messages table is audited: by which column (null: leave it) and
-- whether the hourly audit may send again what it finds missing (null: leave it). Allow
-- that where nobody but the database fills the column: a row that claims to be younger
-- than it is would be sent a second time once the retention has taken the first.
create or replace function roomcast.auditing(table_name text, time_column text default null, repairs boolean default null)
returns void
language plpgsql set search_path = '' as $$
#variable_conflict use_variable
declare
  tbl constant regclass := roomcast.table_named(table_name);
begin
  if time_column is not null and coalesce(roomcast.column_type(tbl, time_column), '') not like 'timestamp%' then
    raise exception 'time_column: % has no column % of a timestamp type', tbl, time_column using errcode = 'undefined_column';
  end if;
  update roomcast.sources s
     set time_column = coalesce(auditing.time_column, s.time_column), repairs = coalesce(auditing.repairs, s.repairs)
   where s.relation = tbl and s.kind = 'messages' and s.detached_at is null;
  if not found then
    raise exception 'table_name: % is not attached as messages', tbl using errcode = 'undefined_table';
  end if;
end
$$;

select roomcast.close_to_all();
grant execute on function
  roomcast.note_receipt(uuid, uuid, text, bigint, jsonb),
  roomcast.parity_report(timestamptz, int),
  roomcast.audit(interval)
to roomcast_relay;
commit;
