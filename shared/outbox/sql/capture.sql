-- Capture: what runs inside the user's transaction. Nothing here leaves Postgres.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- pick keeps the named keys of a record. Null keys keep everything.
create or replace function roomcast.pick(record jsonb, keys text[]) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
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
-- lock on the outbox before it looks whether the relay is awake: may_sleep() relies on
-- that order.
--
-- A row written while the relay sleeps wakes at commit, once per transaction; but not
-- within a second of the last one, unless that was answered: the relay that it wakes
-- looks for rows until no transaction is open that wrote while it slept.
create or replace function roomcast.enqueue(attached int, op text, room text, record jsonb, keep text[], ids text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  wakes boolean;
begin
  insert into roomcast.outbox as o (attached, op, room, key_hash, record, wants_wakeup)
  select $1, $2, $3,
         hashtextextended(case cardinality($6) when 1 then $4 ->> $6[1] else roomcast.pick($4, $6)::text end, $1),
         case when $5 is null then $4
              else (select coalesce(jsonb_object_agg(e.key, e.value), '{}') from jsonb_each($4) e where e.key = any ($5)) end,
         a.until < clock_timestamp() and w.requested_at < greatest(a.until, clock_timestamp() - interval '1 second')
           and current_setting('roomcast.wakeup_wanted', true) is distinct from pg_current_xact_id()::text
    from (select until from roomcast.awake limit 1) a, (select requested_at from roomcast.wakeup limit 1) w
   where $3 is not null
  returning o.wants_wakeup into wakes;
  if wakes then
    perform roomcast.note_wakeup_wanted();
  elsif wakes is null then
    insert into roomcast.unroutable (attached, op) values ($1, $2);
  end if;
end
$$;

-- note_wakeup_wanted remembers that this transaction will request a wake-up at its commit. A rolled back
-- savepoint undoes this, too.
create or replace function roomcast.note_wakeup_wanted() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('roomcast.wakeup_wanted', pg_current_xact_id()::text, true);
end
$$;

-- scrub takes the text of a message out of the rows still kept: each becomes a
-- deletion, which says nothing but which message. In one room, or everywhere.
create or replace function roomcast.scrub(attached int, key_hash bigint, ids jsonb, only_room text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  update roomcast.outbox o set op = 'DELETE', record = $3
   where o.key_hash = $2 and o.attached = $1 and o.op <> 'DELETE' and ($4 is null or o.room = $4);
end
$$;

-- note_skip remembers, once a transaction, that somebody wrote with capture off.
create or replace function roomcast.note_skip(attached int, xid bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if current_setting('roomcast.skip_noted', true) is distinct from note_skip.attached || ':' || xid then
    insert into roomcast.capture_skips (attached, xid) values ($1, $2) on conflict do nothing;
    perform set_config('roomcast.skip_noted', note_skip.attached || ':' || xid, true);
  end if;
end
$$;

-- remake_capture writes the trigger function of one attached table again: roomcast.capture_N(),
-- N being its id. What an INSERT of the chat pays is this function, and every function
-- it calls, every array it takes apart and every expression of plpgsql (set up again in
-- every transaction) is part of that: so there is one statement, with the table's
-- columns written out.
--
-- It reads rows as jsonb, so a column dropped or renamed meanwhile makes a poorer event,
-- never a failed INSERT: where a key is missing, and for all else that is not the usual
-- INSERT, the statement writes nothing and capture_rest does the work.
create or replace function roomcast.remake_capture(s roomcast.attached_tables) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  ids constant text[] := roomcast.ids_of(s);
begin
  execute format($make$
create or replace function roomcast.capture_%1$s() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $f$
declare
  wakes boolean;
begin
  insert into roomcast.outbox as o (attached, op, room, key_hash, record, wants_wakeup)
  select %1$s, 'INSERT', r ->> %2$L, hashtextextended(%3$s, %1$s), %4$s,
         a.until < clock_timestamp() and w.requested_at < greatest(a.until, clock_timestamp() - interval '1 second')
           and current_setting('roomcast.wakeup_wanted', true) is distinct from pg_current_xact_id()::text
    from to_jsonb(new) r, (select until from roomcast.awake limit 1) a, (select requested_at from roomcast.wakeup limit 1) w
   where tg_op = 'INSERT' and r ->> %2$L is not null and r ?& %5$L
     and current_setting('roomcast.capture', true) is distinct from 'off'
  returning o.wants_wakeup into wakes;
  if wakes is distinct from false then
    perform roomcast.capture_rest(%1$s, tg_op, wakes, to_jsonb(old), to_jsonb(new), new.xmin::text::bigint);
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
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select '(' || string_agg(part, ' || ' order by n) || ')'
    from (select (i - 1) / 40 as n, 'jsonb_build_object(' || string_agg(format('%1$L, r -> %1$L', key), ', ' order by i) || ')' as part
            from unnest($1) with ordinality as k (key, i) group by 1) parts
$$;

-- ids_of names the columns that identify a row of an attached table: its keys, but for the
-- room that attach() put behind them.
create or replace function roomcast.ids_of(s roomcast.attached_tables) returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case when s.keys[1] <> s.room_column and s.keys[cardinality(s.keys)] = s.room_column
              then trim_array(s.keys, 1) else s.keys end
$$;

-- capture_rest does for a trigger whatever is not the usual INSERT. wakes is true for
-- one that has written its row and must request a wake-up; was and is_now are the row before and
-- after, xid the transaction that wrote the latter.
create or replace function roomcast.capture_rest(attached int, op text, wakes boolean, was jsonb, is_now jsonb, xid bigint)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  s roomcast.attached_tables;
begin
  if wakes then
    perform roomcast.note_wakeup_wanted();
    return;
  end if;
  if current_setting('roomcast.capture', true) = 'off' then
    if op = 'INSERT' then
      perform roomcast.note_skip(attached, xid);   -- or the audit would call it lost
    end if;
    return;
  end if;
  select * into s from roomcast.attached_tables k where k.id = $1;
  if op = 'INSERT' then
    perform roomcast.enqueue(attached, op, is_now ->> s.room_column::text, is_now, s.columns, roomcast.ids_of(s));
  else
    perform roomcast.capture_change(op, was, is_now, attached, s.kind, s.room_column, s.columns, roomcast.ids_of(s));
  end if;
end
$$;

-- capture_change is capture for an UPDATE or DELETE; is_now is null for the latter.
create or replace function roomcast.capture_change(
  op text, was jsonb, is_now jsonb, attached int, kind text, room text, keep text[], ids text[])
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  gone jsonb;
begin
  -- The same row in the same room: an edit, if anything that may leave has changed.
  if op = 'UPDATE' and roomcast.pick(was, ids || room) = roomcast.pick(is_now, ids || room) then
    if kind = 'messages' and roomcast.pick(was, keep) <> roomcast.pick(is_now, keep) then
      perform roomcast.enqueue(attached, op, is_now ->> room, is_now, keep, ids);
    end if;
    return;
  end if;
  -- Gone from one room, new in another, or both for a row that moved.
  if op = 'DELETE' or was ->> room is not null then
    if kind = 'messages' then
      gone := roomcast.pick(roomcast.pick(was, keep), ids || room);
      perform roomcast.scrub(attached,
        hashtextextended(case cardinality(ids) when 1 then was ->> ids[1] else roomcast.pick(was, ids)::text end, attached),
        gone, case op when 'UPDATE' then was ->> room end);
      perform roomcast.enqueue(attached, 'DELETE', was ->> room, was,
        case when keep is null or room = any (keep) then ids || room else ids end, ids);
    else
      perform roomcast.enqueue(attached, 'DELETE', was ->> room, was, keep, ids);
    end if;
  end if;
  if is_now ->> room is not null then
    perform roomcast.enqueue(attached, 'INSERT', is_now ->> room, is_now, keep, ids);
  end if;
end
$$;

-- capture_truncate: a truncated messages table takes its text with it.
create or replace function roomcast.capture_truncate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update roomcast.outbox o set op = 'DELETE', record = roomcast.pick(o.record, s.keys)
    from roomcast.attached_tables s
   where s.id = tg_argv[0]::int and o.attached = s.id and o.op <> 'DELETE';
  return null;
end
$$;

commit;
