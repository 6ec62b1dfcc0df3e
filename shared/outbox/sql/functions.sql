-- Roomcast's functions, as they are today. Applied after every migration, and
-- again as often as you like. All pin their search_path; at the end of this file
-- everything is taken from everybody and the relay's few are given to
-- roomcast_relay.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));

--------------------------------------------------------------------------------
-- Capture: what runs inside the user's transaction. Nothing here leaves Postgres.
--------------------------------------------------------------------------------

-- pick keeps the named keys of a record. Null keys keep everything.
create or replace function roomcast.pick(record jsonb, keys text[]) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  kept jsonb := '{}';
  key  text;
begin
  if keys is null then
    return record;
  end if;
  foreach key in array keys loop
    if record ? key then
      kept := kept || jsonb_build_object(key, record -> key);
    end if;
  end loop;
  return kept;
end
$$;

-- enqueue writes one outbox row, or counts one that has no room. The insert takes its
-- lock on the outbox before it looks whether the relay is awake: may_rest() relies on
-- that order.
--
-- A row written while the relay sleeps rings at commit, once per transaction; but not
-- within a second of the last bell, unless that was answered: the relay that it wakes
-- looks for rows until no transaction is open that wrote while it slept.
create or replace function roomcast.enqueue(source int, op text, room text, record jsonb, keep text[], ids text[]) returns void
language plpgsql security definer set search_path = '' set plan_cache_mode = force_generic_plan as $$
declare
  rings boolean;
begin
  insert into roomcast.outbox as o (source, op, room, key_hash, record, wakes)
  select $1, $2, $3,
         hashtextextended(case cardinality($6) when 1 then $4 ->> $6[1] else roomcast.pick($4, $6)::text end, $1),
         case when $5 is null then $4
              else (select coalesce(jsonb_object_agg(e.key, e.value), '{}') from jsonb_each($4) e where e.key = any ($5)) end,
         a.until < clock_timestamp() and b.rung < greatest(a.until, clock_timestamp() - interval '1 second')
           and current_setting('roomcast.rung', true) is distinct from pg_current_xact_id()::text
    from (select until from roomcast.awake limit 1) a, (select rung from roomcast.bell limit 1) b
   where $3 is not null
  returning o.wakes into rings;
  if rings then
    perform roomcast.note_ringing();
  elsif rings is null then
    insert into roomcast.roomless (source, op) values ($1, $2);
  end if;
end
$$;

-- note_ringing remembers that this transaction will ring at its commit. A rolled back
-- savepoint undoes this, too.
create or replace function roomcast.note_ringing() returns void
language plpgsql set search_path = '' as $$
begin
  perform set_config('roomcast.rung', pg_current_xact_id()::text, true);
end
$$;

-- scrub takes the text of a message out of the rows still kept: each becomes a
-- deletion, which says nothing but which message. In one room, or everywhere.
create or replace function roomcast.scrub(source int, key_hash bigint, ids jsonb, only_room text default null) returns void
language plpgsql security definer set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  update roomcast.outbox o set op = 'DELETE', record = $3
   where o.key_hash = $2 and o.source = $1 and o.op <> 'DELETE' and ($4 is null or o.room = $4);
end
$$;

-- note_quiet remembers, once a transaction, that somebody wrote with capture off.
create or replace function roomcast.note_quiet(source int, xid bigint) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if current_setting('roomcast.quiet', true) is distinct from source || ':' || xid then
    insert into roomcast.quiet (source, xid) values ($1, $2) on conflict do nothing;
    perform set_config('roomcast.quiet', source || ':' || xid, true);
  end if;
end
$$;

-- remake_capture writes the trigger function of one source anew: roomcast.capture_N(),
-- N being its id. What an INSERT of the chat pays is this function, and every function
-- it calls, every array it takes apart and every expression of plpgsql (set up anew in
-- every transaction) is part of that: so there is one statement, with the source's
-- columns written out.
--
-- It reads rows as jsonb, so a column dropped or renamed meanwhile makes a poorer event,
-- never a failed INSERT: where a key is missing, and for all else that is not the usual
-- INSERT, the statement writes nothing and capture_rest does the work.
create or replace function roomcast.remake_capture(s roomcast.sources) returns void
language plpgsql set search_path = '' as $$
declare
  ids constant text[] := roomcast.ids_of(s);
begin
  execute format($make$
create or replace function roomcast.capture_%1$s() returns trigger
language plpgsql security definer set search_path = '' set timezone = 'UTC' as $f$
declare
  rings boolean;
begin
  insert into roomcast.outbox as o (source, op, room, key_hash, record, wakes)
  select %1$s, 'INSERT', r ->> %2$L, hashtextextended(%3$s, %1$s), %4$s,
         a.until < clock_timestamp() and b.rung < greatest(a.until, clock_timestamp() - interval '1 second')
           and current_setting('roomcast.rung', true) is distinct from pg_current_xact_id()::text
    from to_jsonb(new) r, (select until from roomcast.awake limit 1) a, (select rung from roomcast.bell limit 1) b
   where tg_op = 'INSERT' and r ->> %2$L is not null and r ?& %5$L
     and current_setting('roomcast.capture', true) is distinct from 'off'
  returning o.wakes into rings;
  if rings is distinct from false then
    perform roomcast.capture_rest(%1$s, tg_op, rings, to_jsonb(old), to_jsonb(new), new.xmin::text::bigint);
  end if;
  return null;
end
$f$;
revoke all on function roomcast.capture_%1$s() from public;
$make$,
    s.id, s.room_column,
    case cardinality(ids) when 1 then format('r ->> %L', ids[1]) else roomcast.object_of(ids) || '::text' end,
    coalesce(roomcast.object_of(s.columns), 'r'),
    ids || s.columns);
end
$$;

-- object_of is the text of an expression that makes an object of the named keys of r. A
-- function takes 100 arguments, so many keys are several objects.
create or replace function roomcast.object_of(keys text[]) returns text
language sql immutable set search_path = '' as $$
  select '(' || string_agg(part, ' || ' order by n) || ')'
    from (select (i - 1) / 40 as n, 'jsonb_build_object(' || string_agg(format('%1$L, r -> %1$L', key), ', ' order by i) || ')' as part
            from unnest($1) with ordinality as k (key, i) group by 1) parts
$$;

-- ids_of names the columns that identify a row of a source: its keys, but for the
-- room that attach() put behind them.
create or replace function roomcast.ids_of(s roomcast.sources) returns text[]
language sql immutable set search_path = '' as $$
  select case when s.keys[1] <> s.room_column and s.keys[cardinality(s.keys)] = s.room_column
              then trim_array(s.keys, 1) else s.keys end
$$;

-- capture_rest does for a trigger whatever is not the usual INSERT. rung is true for
-- one that has written its row and must ring; was and is_now are the row before and
-- after, xid the transaction that wrote the latter.
create or replace function roomcast.capture_rest(source int, op text, rung boolean, was jsonb, is_now jsonb, xid bigint)
returns void
language plpgsql security definer set search_path = '' as $$
declare
  s roomcast.sources;
begin
  if rung then
    perform roomcast.note_ringing();
    return;
  end if;
  if current_setting('roomcast.capture', true) = 'off' then
    if op = 'INSERT' then
      perform roomcast.note_quiet(source, xid);   -- or the audit would call it lost
    end if;
    return;
  end if;
  select * into s from roomcast.sources k where k.id = $1;
  if op = 'INSERT' then
    perform roomcast.enqueue(source, op, is_now ->> s.room_column::text, is_now, s.columns, roomcast.ids_of(s));
  else
    perform roomcast.capture_change(op, was, is_now, source, s.kind, s.room_column, s.columns, roomcast.ids_of(s));
  end if;
end
$$;

-- capture_change is capture for an UPDATE or DELETE; is_now is null for the latter.
create or replace function roomcast.capture_change(
  op text, was jsonb, is_now jsonb, source int, kind text, room text, keep text[], ids text[])
returns void
language plpgsql security definer set search_path = '' as $$
declare
  gone jsonb;
begin
  -- The same row in the same room: an edit, if anything that may leave has changed.
  if op = 'UPDATE' and roomcast.pick(was, ids || room) = roomcast.pick(is_now, ids || room) then
    if kind = 'messages' and roomcast.pick(was, keep) <> roomcast.pick(is_now, keep) then
      perform roomcast.enqueue(source, op, is_now ->> room, is_now, keep, ids);
    end if;
    return;
  end if;
  -- Gone from one room, new in another, or both for a row that moved.
  if op = 'DELETE' or was ->> room is not null then
    if kind = 'messages' then
      gone := roomcast.pick(roomcast.pick(was, keep), ids || room);
      perform roomcast.scrub(source,
        hashtextextended(case cardinality(ids) when 1 then was ->> ids[1] else roomcast.pick(was, ids)::text end, source),
        gone, case op when 'UPDATE' then was ->> room end);
      perform roomcast.enqueue(source, 'DELETE', was ->> room, was,
        case when keep is null or room = any (keep) then ids || room else ids end, ids);
    else
      perform roomcast.enqueue(source, 'DELETE', was ->> room, was, keep, ids);
    end if;
  end if;
  if is_now ->> room is not null then
    perform roomcast.enqueue(source, 'INSERT', is_now ->> room, is_now, keep, ids);
  end if;
end
$$;

-- capture_truncate: a truncated messages table takes its text with it.
create or replace function roomcast.capture_truncate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update roomcast.outbox o set op = 'DELETE', record = roomcast.pick(o.record, s.keys)
    from roomcast.sources s
   where s.id = tg_argv[0]::int and o.source = s.id and o.op <> 'DELETE';
  return null;
end
$$;

--------------------------------------------------------------------------------
-- The bell: asks for the relay's attention. It carries nothing, and may be lost.
--------------------------------------------------------------------------------

create or replace function roomcast.has_pg_net() returns boolean
language sql stable set search_path = '' as $$
  select exists (select from pg_catalog.pg_proc p
                  where p.pronamespace = to_regnamespace('net') and p.proname = 'http_post')
$$;

create or replace function roomcast.is_awake() returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  return (select a.until >= clock_timestamp() from roomcast.awake a);
end
$$;

-- bell_secret reads the bearer token, from Vault if it lies there.
create or replace function roomcast.bell_secret() returns text
language plpgsql stable set search_path = '' as $$
declare
  s   roomcast.settings;
  out text;
begin
  select * into s from roomcast.settings;
  if s.vault_name is null then
    return s.secret;
  end if;
  execute 'select decrypted_secret from vault.decrypted_secrets where name = $1' into out using s.vault_name;
  return out;
end
$$;

-- note_rung tells writers that a bell is on its way. Only who holds ring()'s lock calls
-- it, so nobody ever waits for the row.
create or replace function roomcast.note_rung() returns void
language plpgsql security definer set search_path = '' as $$
begin
  update roomcast.bell set rung = clock_timestamp();
exception when serialization_failure then
  null;   -- a transaction that sees an older state
end
$$;

-- ring queues one bell, unless one is already on its way or being queued by a
-- transaction that commits at this moment. It reports whether it queued one, and
-- never fails: whatever is wrong with pg_net is not the chat's concern.
create or replace function roomcast.ring() returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  s roomcast.settings;
begin
  select * into s from roomcast.settings;
  if s.url is null or not roomcast.has_pg_net() then
    return false;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('roomcast.ring', 0)) then
    return false;
  end if;
  if exists (select from net.http_request_queue q where q.url = s.url) then
    perform roomcast.note_rung();
    return false;
  end if;
  perform net.http_post(
    url => s.url,
    body => jsonb_build_object('type', 'BELL', 'schema', 'roomcast', 'table', 'outbox', 'record', null, 'old_record', null),
    headers => jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || roomcast.bell_secret()),
    timeout_milliseconds => s.timeout_ms);
  perform roomcast.note_rung();
  return true;
exception when others then
  raise log 'roomcast: the bell could not be queued (SQLSTATE %)', sqlstate;
  return false;
end
$$;

-- ring_at_commit runs once for a transaction that wrote while the relay slept, at
-- its very end: a bell lock is then held for no longer than the commit takes, and
-- the relay cannot arrive before the row can be seen.
create or replace function roomcast.ring_at_commit() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not roomcast.is_awake() then
    perform roomcast.ring();
  end if;
  return null;
exception when others then
  raise log 'roomcast: the bell could not be rung (SQLSTATE %)', sqlstate;
  return null;
end
$$;

do $$
begin
  if not exists (select from pg_trigger where tgname = 'ring' and tgrelid = 'roomcast.outbox'::regclass) then
    create constraint trigger ring after insert on roomcast.outbox
      deferrable initially deferred for each row when (new.wakes)
      execute function roomcast.ring_at_commit();
  end if;
end
$$;

--------------------------------------------------------------------------------
-- The relay's side: number, claim, ack, park.
--------------------------------------------------------------------------------

-- Two things hold for what the relay calls many times a second. It is plpgsql, which
-- keeps its plans for the session, where SQL functions are planned at every call. And
-- it has sequential scans off: a look for one row among a million seems cheap to the
-- planner when it guesses that every third will do, and none does. (Where only such a
-- scan is possible its cost becomes absurd, which wakes the compiler: hence jit off.)

-- has_unnumbered looks for rows that the last numbering could not see.
create or replace function roomcast.has_unnumbered() returns boolean
language plpgsql volatile security definer set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  c roomcast.cursor;
begin
  select * into c from roomcast.cursor;
  return exists (select from roomcast.outbox o where o.xid >= c.next_xid)
      or exists (select from roomcast.outbox o where o.xid = any (c.open_xids))
      or c.next_xid > pg_snapshot_xmax(pg_current_snapshot());
end
$$;

-- await_rows waits until a claim would find something, for as long as patience, looking
-- every so often for new rows, and says whether it would. It leases nothing: whoever
-- asked may be gone by the time there is an answer. A look from in here costs a fraction
-- of a claim that finds nothing, since no query is sent, read and planned, and nothing is
-- read while no transaction has begun or ended. What another relay numbers meanwhile is
-- reported, too.
create or replace function roomcast.await_rows(patience interval, every interval) returns boolean
language plpgsql volatile security definer set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  deadline constant timestamptz := clock_timestamp() + $1;
  pause    constant double precision := greatest(extract(epoch from $2), 0.001);
  saw      text := pg_current_snapshot()::text;   -- before each look: what ends during it is seen at the next
  sees     text;
  c        roomcast.cursor;
begin
  if roomcast.has_unnumbered()
     or exists (select from roomcast.rooms r where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp())) then
    return true;
  end if;
  select * into c from roomcast.cursor;
  while clock_timestamp() < deadline loop
    perform pg_sleep(pause);
    sees := pg_current_snapshot()::text;
    continue when sees = saw;
    saw := sees;
    if exists (select from roomcast.outbox o where o.xid >= c.next_xid)
       or exists (select from roomcast.outbox o where o.xid = any (c.open_xids)) then
      return true;
    end if;
  end loop;
  return false;
end
$$;

-- number gives every new row its seq, per room in id order, and returns how many it
-- numbered. One relay at a time does so; another one that comes by goes on without.
--
-- Which rows are new is decided by snapshots, not by ids: a transaction that took a
-- low id and committed last is simply new to the next numbering. The one statement
-- below both reads the rows and keeps its own snapshot, so that each row is new to
-- exactly one numbering. Its own transaction is noted as unfinished, in case somebody
-- writes a message and numbers in one.
--
-- A database restored elsewhere counts its transactions anew: then, and when told to
-- by full, rows are new when no run holds them.
create or replace function roomcast.number(full_scan boolean default false) returns bigint
language plpgsql security definer set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan set work_mem = '16MB' as $$
declare
  c    roomcast.cursor;
  mine xid8;
  n    bigint;
begin
  select * into c from roomcast.cursor for update skip locked;
  if not found then
    return 0;
  end if;
  mine := pg_current_xact_id();
  full_scan := full_scan or c.next_xid > pg_snapshot_xmax(pg_current_snapshot());

  with fresh as (
    select o.id, o.room from roomcast.outbox o
     where not full_scan and o.xid >= c.next_xid and o.xid <> mine
    union all
    select o.id, o.room from roomcast.outbox o
     where not full_scan and o.xid = any (c.open_xids) and o.xid < c.next_xid
    union all
    select o.id, o.room from roomcast.outbox o
     where full_scan and o.xid <> mine
       and o.id not in (select unnest(r.ids) from roomcast.runs r)
  ), ranked as (
    select f.id, f.room, row_number() over (partition by f.room order by f.id) - 1 as i from fresh f
  ), grown as (
    insert into roomcast.rooms as r (room, head_seq, due)
    select k.room, count(*), clock_timestamp() from ranked k group by k.room order by k.room
    on conflict (room) do update
      set head_seq = r.head_seq + excluded.head_seq,
          due = case when r.head_seq = r.sent_seq then greatest(r.due, excluded.due) else r.due end
    returning r.room, r.head_seq
  ), sized as (
    select k.room, count(*) as size from ranked k group by k.room
  ), numbered as (
    insert into roomcast.runs (room, first_seq, last_seq, ids)
    select k.room,
           g.head_seq - s.size + min(k.i) + 1,
           g.head_seq - s.size + max(k.i) + 1,
           array_agg(k.id order by k.id)
      from ranked k join grown g using (room) join sized s using (room)
     group by k.room, g.head_seq, s.size, k.i / 200   -- longer arrays leave their page, and are slow to read in part
    returning cardinality(ids) as size
  ), moved as (
    update roomcast.cursor
       set next_xid = pg_snapshot_xmax(pg_current_snapshot()),
           open_xids = array(select pg_snapshot_xip(pg_current_snapshot())) || mine
  )
  select coalesce(sum(size), 0) into n from numbered;
  return n;
end
$$;

-- claim leases rooms with waiting rows to a relay and returns those rows in order. A
-- room under lease or backoff is not due and hides nobody: several relays share a
-- backlog. The lease ends by itself; its fence must be named in the ack.
--
-- At most max_rows rows come back, at most per_room of a room, and fewer when many
-- rooms wait: breadth is fair, and reads neighbouring rows. What would repeat in every
-- row is told once: room, epoch, fence and the database's clock come with the first row
-- of a room, keys only where an event may have to do without its text. A row that is
-- missing (somebody deleted it by hand) comes with a null op: its number is to be passed
-- over.
drop function if exists roomcast.claim(text, int, int, interval);   -- its columns may have changed
create function roomcast.claim(relay text, max_rows int, per_room int, lease interval)
returns table (room text, epoch text, fence bigint, clock text, seq bigint, at text, kind text, op text, keys text[], record text)
language plpgsql security definer
set search_path = '' set timezone = 'UTC' set datestyle = 'ISO'
set enable_seqscan = off set enable_memoize = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  if roomcast.has_unnumbered() then
    perform roomcast.number();
  end if;
  if not exists (select from roomcast.rooms r where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp())) then
    return;
  end if;
  -- Rows that do not fit the connection's buffers are sent before this transaction can
  -- end, while it has rooms and cursor locked. A relay that stops reading, its machine
  -- frozen or gone, would keep them locked for as long as TCP is patient: it gets no
  -- longer than its lease.
  perform set_config('tcp_user_timeout', (extract(epoch from $4) * 1000)::int::text, true);
  return query
  with free as (
    select r.room, r.due, r.head_seq - r.sent_seq as size
      from roomcast.rooms r
     where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp())
     order by r.due
     limit least($2, 500)
       for update skip locked
  ), fair as (
    select f.room, f.due, least(f.size, $3, greatest(10, $2 / count(*) over ())) as size from free f
  ), counted as (
    select f.room, f.size, (sum(f.size) over (order by f.due, f.room) - f.size)::bigint as before from fair f
  ), leased as (
    update roomcast.rooms r
       set fence = r.fence + 1, due = clock_timestamp() + $4, holder = $1
      from counted c
     where c.room = r.room and c.before < $2
    returning r.room, r.epoch, r.fence, r.sent_seq, least(r.head_seq, r.sent_seq + least(c.size, $2 - c.before)) as last, c.before
  )
  select case when n.first then l.room end,
         case when n.first then l.epoch end,
         case when n.first then l.fence end,
         case when n.first then clock_timestamp()::text end,
         n.seq, o.at::text, s.kind, o.op,
         case when o.op = 'DELETE' or octet_length(t.record) > 4000 then s.keys end,
         t.record
    from leased l
    join roomcast.runs g on g.room = l.room and g.last_seq > l.sent_seq and g.first_seq <= l.last
     and g.first_seq >= coalesce((select max(p.first_seq) from roomcast.runs p   -- not all that are kept
                                   where p.room = l.room and p.first_seq <= l.sent_seq + 1), 0)
    cross join lateral (select greatest(l.sent_seq + 1, g.first_seq) as from_seq) f
    cross join lateral (
      select u.id, f.from_seq + u.i - 1 as seq, f.from_seq + u.i - 1 = l.sent_seq + 1 as first
        from unnest(g.ids[f.from_seq - g.first_seq + 1 : l.last - g.first_seq + 1]) with ordinality as u (id, i)
    ) n
    left join roomcast.outbox o on o.id = n.id
    left join roomcast.sources s on s.id = o.source
    left join lateral (select o.record::text as record offset 0) t on true
   order by l.before, n.seq;
end
$$;

-- ack moves rooms on to the last seq that Pusher accepted, frees them, and lets each
-- rest for wait seconds before it may be claimed again (0: at once). It returns the
-- rooms that were refused, because another relay has claimed them since.
create or replace function roomcast.ack(rooms text[], fences bigint[], seqs bigint[], waits double precision[])
returns setof text
language plpgsql security definer set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  return query
  with told as (
    select * from unnest($1, $2, $3, $4) as t (room, fence, seq, wait)
  ), held as materialized (   -- locked in one order, as number() does
    select r.room, r.fence, t.seq, t.wait
      from roomcast.rooms r join told t on t.room = r.room and t.fence = r.fence
     order by r.room
       for update of r
  ), moved as (
    update roomcast.rooms r
       set sent_seq = greatest(r.sent_seq, least(h.seq, r.head_seq)),
           due      = clock_timestamp() + make_interval(secs => h.wait),
           holder   = null
      from held h where h.room = r.room
    returning r.room, r.fence
  )   -- a relay may name a room twice, having lost it and got it back
  select t.room from told t where (t.room, t.fence) not in (select m.room, m.fence from moved m);
end
$$;

-- park notes why an event will never be sent. The ack then passes over its seq. It
-- reports false, and notes nothing, when the lease is no longer this relay's.
create or replace function roomcast.park(room text, fence bigint, seq bigint, reason text) returns boolean
language sql security definer set search_path = '' as $$
  with held as (
    select r.room from roomcast.rooms r where r.room = $1 and r.fence = $2
  ), noted as (
    insert into roomcast.parked (room, seq, outbox_id, reason)
    select g.room, $3, g.ids[$3 - g.first_seq + 1], left($4, 500)
      from held h join roomcast.runs g on g.room = h.room and $3 between g.first_seq and g.last_seq
    on conflict (room, seq) do update set reason = excluded.reason, at = excluded.at
  )
  select exists (select from held)
$$;

--------------------------------------------------------------------------------
-- Catching up.
--------------------------------------------------------------------------------

-- readable_from is how the relay asks readable_since: as its owner, and with null
-- meaning no limit.
create or replace function roomcast.readable_from(room text, user_id uuid) returns timestamptz
language plpgsql volatile security definer set search_path = '' as $$
begin
  return coalesce(roomcast.readable_since($1, $2), '-infinity');
end
$$;

-- history reads one page of a room: its numbered events after a seq, in order, sent
-- or not, parked ones too. At most max of them, and no more once a megabyte is full,
-- but always the next one, however large.
--
-- Every row repeats where the room stands; a page without events is one row with a
-- null seq, an unknown room no row. A row deleted by hand comes with a null op: its
-- number is to be passed over. first is the first seq still kept and not older than
-- since, counted from when it was numbered, which is when listeners could first hear
-- it. reset says that nothing continues from after (it lies outside of first - 1 to
-- head, or belongs to another epoch); the page then begins at first.
drop function if exists roomcast.history(text, bigint, int, timestamptz, text);   -- its columns may have changed
create function roomcast.history(room text, after bigint, max int, since timestamptz, known_epoch text default '')
returns table (epoch text, head bigint, sent bigint, first bigint, reset boolean,
               seq bigint, at text, kind text, op text, keys text[], record text)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
declare
  stands     roomcast.rooms;
  first_kept bigint;
  onwards    bigint := $2;
  starts     boolean;
begin
  -- All statements of a stable function see one snapshot.
  select * into stands from roomcast.rooms r where r.room = $1;
  if not found then
    return;
  end if;
  first_kept := coalesce((select g.first_seq from roomcast.runs g
                           where g.room = $1 and g.at >= $4
                           order by g.first_seq limit 1), stands.head_seq + 1);
  starts := ($5 <> '' and $5 <> stands.epoch) or $2 not between first_kept - 1 and stands.head_seq;
  if starts then
    onwards := first_kept - 1;
  end if;
  return query
  with numbered as (
    select u.id, g.first_seq + u.i - 1 as seq
      from roomcast.runs g cross join lateral unnest(g.ids) with ordinality as u (id, i)
     where g.room = $1 and g.first_seq <= onwards + $3
       and g.first_seq >= coalesce((select max(p.first_seq) from roomcast.runs p where p.room = $1 and p.first_seq <= onwards + 1), 0)
       and g.first_seq + u.i - 1 between onwards + 1 and onwards + $3
     order by 2 limit $3
  ), page as (
    select n.seq, o.at, o.source, o.op, o.record,
           sum(octet_length(o.record)) over (order by n.seq rows between unbounded preceding and 1 preceding) as before
      from numbered n
      left join lateral (   -- offset 0: look each row up by its key, whatever the planner expects of unnest
        select r.at, r.source, r.op, r.record::text as record from roomcast.outbox r where r.id = n.id offset 0
      ) o on true
  )
  select stands.epoch, stands.head_seq, stands.sent_seq, first_kept, starts, p.seq,
         to_char(p.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
         s.kind, p.op, s.keys, p.record
    from (values (true)) as one (row)
    left join page p on coalesce(p.before, 0) < 1048576
    left join roomcast.sources s on s.id = p.source
   order by p.seq;
end
$$;

--------------------------------------------------------------------------------
-- Waking and resting.
--------------------------------------------------------------------------------

-- wake is a relay's first word after start or sleep: it takes the awake lease, and
-- notices a database that was restored from a copy. There every room's numbering
-- starts anew under a new epoch, since what was sent after the copy is not known.
create or replace function roomcast.wake(lease interval) returns void
language plpgsql security definer set search_path = '' as $$
declare
  here constant bigint := (select system_identifier from pg_control_system());
  was  bigint;
begin
  perform roomcast.stay_awake(lease);
  select cluster_id into was from roomcast.settings;
  if was is not distinct from here then
    return;
  end if;
  update roomcast.settings set cluster_id = here where cluster_id is not distinct from was;
  if found and was is not null then
    perform roomcast.number(full_scan => true);
    update roomcast.rooms set epoch = substr(md5(gen_random_uuid()::text), 1, 8);
  end if;
end
$$;

-- stay_awake moves the awake lease ahead of the database's clock.
create or replace function roomcast.stay_awake(lease interval) returns void
language sql security definer set search_path = '' as $$
  update roomcast.awake set until = greatest(until, clock_timestamp() + $1)
$$;

-- has_waiting: is there any row that Pusher has not accepted, due now or later, or a
-- user to be cut off soon? One that has failed for long does not keep a relay awake:
-- the sweep rings when it is due.
create or replace function roomcast.has_waiting() returns boolean
language plpgsql volatile security definer set search_path = '' set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  return roomcast.has_unnumbered()
      or exists (select from roomcast.rooms r where r.head_seq > r.sent_seq)
      or exists (select from roomcast.revocations v where v.due <= (select clock_timestamp() + interval '5 seconds'));
end
$$;

-- may_rest tells a relay that let its lease lapse whether it may stop polling: the
-- lease of every relay is over, nothing waits, and no transaction that wrote while
-- the lease held is still open. Such a one holds its lock on the outbox until it
-- ends, and rang no bell.
create or replace function roomcast.may_rest() returns boolean
language sql volatile security definer set search_path = '' as $$
  select not roomcast.is_awake()
     and not exists (select from pg_locks l
                      where l.locktype = 'relation' and l.relation = 'roomcast.outbox'::regclass
                        and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()
                        and l.database = (select d.oid from pg_database d where d.datname = current_database()))
     and not roomcast.has_waiting()
$$;

-- leave_awake gives the awake lease back early, for a relay that must stop now.
create or replace function roomcast.leave_awake() returns void
language sql security definer set search_path = '' as $$
  update roomcast.awake set until = clock_timestamp() where until > clock_timestamp()
$$;

-- sweep is the backstop, run by pg_cron: it rings if anything waits while nobody is
-- awake, and clears a little of what has been kept long enough.
create or replace function roomcast.sweep() returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  if not roomcast.is_awake()
     and (roomcast.has_unnumbered()
          or exists (select from roomcast.rooms r where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp()))
          or exists (select from roomcast.revocations v where v.due <= (select clock_timestamp()))) then
    return roomcast.ring();
  end if;
  perform roomcast.clean(20);
  perform roomcast.clean_presence();
  return false;
end
$$;

-- clean removes up to max_runs runs of sent rows that are older than the retention,
-- and returns how many rows went. A row that a user's DELETE holds at this moment is
-- left for the next time: the chat never waits for the broom.
create or replace function roomcast.clean(max_runs int) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  before constant timestamptz := (select clock_timestamp() - retention from roomcast.settings);
  picked roomcast.runs[];
  old    bigint[];
  n      bigint;
begin
  perform roomcast.clean_parity(100);
  picked := array(
    select g from roomcast.runs g join roomcast.rooms r using (room)
     where g.at < before and g.last_seq <= r.sent_seq
     order by g.at limit max_runs
       for update of g skip locked);
  if cardinality(picked) = 0 then
    return 0;
  end if;
  old := array(
    select o.id from roomcast.outbox o
     where o.id in (select unnest(p.ids) from unnest(picked) p)
       for update skip locked);
  with gone as (
    delete from roomcast.outbox o where o.id = any (old) returning o.source, o.op, o.room, o.at
  ), tallied as (   -- the certificate still counts them, while there is a dual run
    insert into roomcast.parity as p (room, hour, committed)
    select g.room, date_trunc('hour', g.at, 'UTC'), count(*)
      from gone g join roomcast.sources s on s.id = g.source
     where g.op = 'INSERT' and s.kind = 'messages' and exists (select from roomcast.receipts)
     group by 1, 2 order by 1, 2
    on conflict on constraint parity_pkey do update set committed = p.committed + excluded.committed
  )
  select count(*) into n from gone;
  delete from roomcast.parked k using unnest(picked) p
   where k.room = p.room and k.seq between p.first_seq and p.last_seq;
  delete from roomcast.runs g using unnest(picked) p
   where g.room = p.room and g.first_seq = p.first_seq
     and not exists (select from roomcast.outbox o where o.id = any (p.ids));
  return n;
end
$$;

--------------------------------------------------------------------------------
-- Access.
--------------------------------------------------------------------------------

-- may_read is how the relay asks can_read, whoever wrote that: as its owner, and
-- with null meaning no.
create or replace function roomcast.may_read(room text, user_id uuid, claims jsonb) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
  return coalesce(roomcast.can_read($1, $2, $3), false);
end
$$;

-- remake_is_member writes roomcast.is_member(room, user) anew from the attached
-- members tables, so that its plans are cached and its comparisons use their indexes.
-- A room or user id that the table's type cannot hold belongs to nobody.
create or replace function roomcast.remake_is_member() returns void
language plpgsql set search_path = '' as $$
declare
  looks text := '';
  s     roomcast.sources;
begin
  for s in select * from roomcast.sources where kind = 'members' and detached_at is null order by id loop
    looks := looks || format($look$
  begin
    if exists (select from %s m where m.%I = $1::%s and m.%I = $2::%s) then
      return true;
    end if;
  exception when data_exception then
    null;
  end;$look$,
      s.relation,
      s.room_column, roomcast.column_type(s.relation, s.room_column),
      s.user_column, roomcast.column_type(s.relation, s.user_column));
  end loop;
  execute format($make$
create or replace function roomcast.is_member(room text, user_id uuid) returns boolean
language plpgsql stable security definer set search_path = '' as $f$
begin%s
  return false;
end
$f$;
revoke all on function roomcast.is_member(text, uuid) from public;
$make$, looks);
end
$$;

--------------------------------------------------------------------------------
-- The operator's side.
--------------------------------------------------------------------------------

create or replace function roomcast.column_type(relation regclass, name text) returns text
language sql stable set search_path = '' as $$
  select format_type(a.atttypid, a.atttypmod) from pg_attribute a
   where a.attrelid = $1 and a.attname = $2 and a.attnum > 0 and not a.attisdropped
$$;

-- table_named finds a table by its name; without a schema it is one of public's.
create or replace function roomcast.table_named(name text) returns regclass
language plpgsql stable set search_path = '' as $$
declare
  tbl constant regclass := to_regclass(case when strpos($1, '.') = 0 then 'public.' || $1 else $1 end);
begin
  if tbl is null then
    raise exception 'table_name: there is no table %', $1 using errcode = 'undefined_table';
  end if;
  return tbl;
end
$$;

-- attach is what attach_messages and attach_members share. It takes a short lock on
-- the table, and gives up after three seconds rather than queue the chat behind it.
create or replace function roomcast.attach(
  table_name text, kind text, room_column text, user_column text, columns text[], ids text[])
returns void
language plpgsql set search_path = '' set lock_timeout = '3s' as $$
#variable_conflict use_variable
declare
  tbl  regclass := roomcast.table_named(table_name);
  col  text;
  s    roomcast.sources;
begin
  if (select relkind from pg_class c where c.oid = tbl) not in ('r', 'p') then
    raise exception 'table_name: % is not a table', table_name using errcode = 'wrong_object_type';
  end if;
  foreach col in array array_remove(array[room_column, user_column] || columns || ids, null) loop
    if roomcast.column_type(tbl, col) is null then
      raise exception 'columns: % has no column %', tbl, col using errcode = 'undefined_column';
    end if;
  end loop;
  if coalesce(cardinality(ids), 0) = 0 then
    raise exception 'ids: % has no primary key; name the columns that identify a row', tbl
      using errcode = 'invalid_parameter_value';
  end if;
  if columns is not null and not columns @> ids then
    raise exception 'columns: must include %, which identify a row', ids using errcode = 'invalid_parameter_value';
  end if;

  insert into roomcast.sources as s (relation, kind, room_column, user_column, columns, keys)
  values (tbl, kind, room_column, user_column, columns,
          case when columns is null or room_column = any (columns) then ids || array_remove(array[room_column], ids[1]) else ids end)
  on conflict on constraint one_source_per_table do update
     set kind = excluded.kind, room_column = excluded.room_column, user_column = excluded.user_column,
         columns = excluded.columns, keys = excluded.keys, attached_at = now(), detached_at = null
  returning * into s;

  perform roomcast.remake_capture(s);
  execute format('create or replace trigger roomcast_capture after insert or update or delete on %s '
                 'for each row execute function roomcast.capture_%s()', tbl, s.id);
  if kind = 'messages' then
    execute format('create or replace trigger roomcast_truncate after truncate on %s '
                   'for each statement execute function roomcast.capture_truncate(%L)', tbl, s.id);
  end if;
  perform roomcast.remake_is_member();
end
$$;

-- attach_messages relays a table of chat messages. room_column names the room; columns
-- are those that may leave the database (null: all); ids are those that identify a row
-- (null: the primary key). Attaching again changes the choice.
create or replace function roomcast.attach_messages(
  table_name text, room_column text default 'room_id', columns text[] default null, ids text[] default null)
returns void
language plpgsql set search_path = '' as $$
begin
  perform roomcast.attach($1, 'messages', $2, null, $3, coalesce($4, (
    select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum))
      from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
     where i.indrelid = roomcast.table_named($1) and i.indisprimary)));
end
$$;

-- attach_members relays membership and makes it the default answer of can_read. One
-- row is one user in one room.
create or replace function roomcast.attach_members(
  table_name text, room_column text default 'room_id', user_column text default 'user_id', columns text[] default null)
returns void
language plpgsql set search_path = '' as $$
begin
  perform roomcast.attach($1, 'members', $2, $3, $4, array[$2, $3]);
end
$$;

-- detach stops relaying a table. What it has already put into the outbox is still sent.
create or replace function roomcast.detach(table_name text) returns void
language plpgsql set search_path = '' set lock_timeout = '3s' as $$
declare
  tbl constant regclass := roomcast.table_named($1);
begin
  execute format('drop trigger if exists roomcast_capture on %s', tbl);
  execute format('drop trigger if exists roomcast_truncate on %s', tbl);
  update roomcast.sources set detached_at = now() where relation = tbl and detached_at is null;
  perform roomcast.remake_is_member();
end
$$;

-- configure says where the bell rings and with which secret. The secret goes into
-- Vault where there is one. With pg_cron it also schedules the sweep, every ten
-- seconds if this pg_cron knows seconds (from 1.5 on), else every minute. Null leaves
-- a setting as it is.
create or replace function roomcast.configure(
  url text default null, secret text default null, retention interval default null, timeout_ms int default null)
returns void
language plpgsql set search_path = '' as $$
#variable_conflict use_variable
begin
  if url is not null and url !~ '^https?://[^/\s]+' then
    raise exception 'url: must be an http or https address, as https://app.fly.dev/webhooks/supabase'
      using errcode = 'invalid_parameter_value';
  end if;
  if secret is not null and secret !~ '^[\x21-\x7e]{8,}$' then
    raise exception 'secret: must be at least 8 printable ASCII characters without spaces'
      using errcode = 'invalid_parameter_value';
  end if;
  update roomcast.settings s
     set url = coalesce(configure.url, s.url),
         retention = coalesce(configure.retention, s.retention),
         timeout_ms = coalesce(configure.timeout_ms, s.timeout_ms);
  if secret is not null then
    perform roomcast.keep_secret(secret);
  end if;
  perform roomcast.schedule_sweep();
end
$$;

create or replace function roomcast.keep_secret(secret text) returns void
language plpgsql set search_path = '' as $$
declare
  known uuid;
begin
  if to_regclass('vault.decrypted_secrets') is null then
    update roomcast.settings s set secret = $1, vault_name = null;
    return;
  end if;
  execute 'select id from vault.decrypted_secrets where name = $1' into known using 'roomcast_webhook_secret';
  if known is null then
    execute 'select vault.create_secret($1, $2)' using secret, 'roomcast_webhook_secret';
  else
    execute 'select vault.update_secret($1, $2)' using known, secret;
  end if;
  update roomcast.settings s set secret = null, vault_name = 'roomcast_webhook_secret';
end
$$;

-- sweep_schedule: schedules in seconds exist since pg_cron 1.5; versions look like 1.4-1.
create or replace function roomcast.sweep_schedule(cron_version text) returns text
language sql immutable set search_path = '' as $$
  select case when string_to_array(substring($1 from '^\d+(?:\.\d+)?'), '.')::int[] < array[1, 5]
              then '* * * * *' else '10 seconds' end
$$;

create or replace function roomcast.schedule_sweep() returns void
language plpgsql set search_path = '' as $$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    raise notice 'roomcast: no pg_cron here; a lost bell waits for the next one';
    return;
  end if;
  execute 'select cron.schedule($1, $2, $3)'
    using 'roomcast-sweep',
          roomcast.sweep_schedule((select extversion from pg_extension where extname = 'pg_cron')),
          'select roomcast.sweep()';
end
$$;

select roomcast.remake_is_member();

-- What tables attached by an earlier version of this file still call. Their triggers
-- take a short lock on the table, and give up after three seconds.
do $$
declare
  s roomcast.sources;
begin
  perform set_config('lock_timeout', '3s', true);
  for s in select * from roomcast.sources k where k.detached_at is null loop
    perform roomcast.remake_capture(s);
    if exists (select from pg_trigger t where t.tgrelid = s.relation and t.tgname = 'roomcast_capture' and t.tgfoid = to_regproc('roomcast.capture')) then
      execute format('create or replace trigger roomcast_capture after insert or update or delete on %s '
                     'for each row execute function roomcast.capture_%s()', s.relation, s.id);
    end if;
  end loop;
end
$$;
drop function if exists roomcast.capture();

--------------------------------------------------------------------------------
-- Rights: nobody has any, the relay has these.
--------------------------------------------------------------------------------

-- close_to_all takes every table and function of the schema from everybody but its
-- owner and the relay's role. Each file of functions calls it, since a new function is
-- open to public.
create or replace function roomcast.close_to_all() returns void
language plpgsql set search_path = '' as $$
declare
  grantee text;
begin
  revoke all on all tables    in schema roomcast from public;
  revoke all on all functions in schema roomcast from public;
  for grantee in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
    execute format('revoke all on schema roomcast from %I', grantee);
    execute format('revoke all on all tables in schema roomcast from %I', grantee);
    execute format('revoke all on all functions in schema roomcast from %I', grantee);
  end loop;
end
$$;
select roomcast.close_to_all();
grant execute on function
  roomcast.await_rows(interval, interval),
  roomcast.claim(text, int, int, interval),
  roomcast.ack(text[], bigint[], bigint[], double precision[]),
  roomcast.park(text, bigint, bigint, text),
  roomcast.wake(interval),
  roomcast.stay_awake(interval),
  roomcast.may_rest(),
  roomcast.leave_awake(),
  roomcast.has_waiting(),
  roomcast.clean(int),
  roomcast.may_read(text, uuid, jsonb),
  roomcast.readable_from(text, uuid),
  roomcast.history(text, bigint, int, timestamptz, text)
to roomcast_relay;
commit;
