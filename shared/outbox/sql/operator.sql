-- Functions for operators: the relay's state, stuck rooms, and the configuration. Only
-- backlog() is granted to roomcast_relay, for its metrics. The others run with the rights of
-- the caller, the owner of the schema.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- backlog tells what Pusher has not accepted yet: rows, of them those still without a
-- number, the age of the oldest in seconds (null when nothing waits), rooms, rooms
-- under lease and how many rows these have waiting; and how many events are parked.
-- It reads one row per waiting room, and all that is not numbered: nothing while
-- nothing waits.
create or replace function roomcast.backlog(
  out waiting bigint, out unnumbered bigint, out oldest double precision,
  out rooms bigint, out leased_rooms bigint, out leased bigint, out parked bigint)
language sql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  with fresh as (
    select u.at from roomcast.unnumbered() u
  ), late as (
    select r.room, r.sent_seq + 1 as head, r.head_seq - r.sent_seq as size,
           r.holder is not null and r.due > (select clock_timestamp()) as is_leased
      from roomcast.rooms r where r.head_seq > r.sent_seq
  ), first as (
    select o.at from late l
     cross join lateral (
       select g.ids[l.head - g.first_seq + 1] as id from roomcast.seq_ranges g
        where g.room = l.room and g.first_seq <= l.head
        order by g.first_seq desc limit 1) g
     cross join lateral (   -- by its key, see history()
       select x.at from roomcast.outbox x where x.id >= g.id and x.id <= g.id order by x.id limit 1) o
  )
  select (select count(*) from fresh) + coalesce((select sum(l.size) from late l), 0)::bigint,
         (select count(*) from fresh),
         extract(epoch from clock_timestamp() - least((select min(f.at) from fresh f), (select min(f.at) from first f)))::double precision,
         (select count(*) from late l),
         (select count(*) from late l where l.is_leased),
         coalesce((select sum(l.size) from late l where l.is_leased), 0)::bigint,
         (select count(*) from roomcast.parked)
$$;

-- skip parks the event at which a room is stuck, and moves the room past it. The event
-- keeps its seq: browsers see the gap and fetch it over HTTP. seq must be the first
-- that waits, so that nobody skips what they have not looked at. The fence moves, too:
-- a relay that is trying this very event finds its ack refused.
create or replace function roomcast.skip(room text, seq bigint, reason text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  r roomcast.rooms;
begin
  select * into r from roomcast.rooms x where x.room = skip.room for update;
  if not found or r.head_seq = r.sent_seq then
    raise exception 'room: nothing waits in %', skip.room using errcode = 'no_data_found';
  end if;
  if skip.seq <> r.sent_seq + 1 then
    raise exception 'seq: the first that waits is %, not %', r.sent_seq + 1, skip.seq using errcode = 'invalid_parameter_value';
  end if;
  insert into roomcast.parked (room, seq, outbox_id, reason)
  values (skip.room, skip.seq, roomcast.at_seq(skip.room, skip.seq), left('skipped by hand: ' || skip.reason, 500))
  on conflict on constraint parked_pkey do update set reason = excluded.reason, at = excluded.at;
  update roomcast.rooms x
     set sent_seq = skip.seq, fence = x.fence + 1, holder = null, due = clock_timestamp(),
         attention = case when x.head_seq > skip.seq then clock_timestamp() end
   where x.room = skip.room;
  if not roomcast.is_awake() and roomcast.has_waiting() then
    perform roomcast.request_wakeup();   -- for what waited behind it
  end if;
end
$$;

-- sent_again returns rows of a room that the relay has passed, accepted or parked, as they
-- are today, for an operator to send once more. Rows that the relay has yet to send are not
-- among them: that would send n+1 before n.
create or replace function roomcast.sent_again(room text, first_seq bigint, last_seq bigint)
returns table (seq bigint, epoch text, at text, kind text, name text, op text, keys text[], record text, old text, stub boolean, parked text)
language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  select n.seq, r.epoch || (select t.incarnation from roomcast.settings t), to_char(o.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
         s.kind, coalesce(o.name, s.name), o.op, s.keys, o.record, o.old, o.stub, p.reason
    from roomcast.rooms r
    join roomcast.seq_ranges g on g.room = r.room and g.first_seq <= sent_again.last_seq and g.last_seq >= sent_again.first_seq
   cross join lateral (
     select u.id, g.first_seq + u.i - 1 as seq from unnest(g.ids) with ordinality as u (id, i)) n
   cross join lateral (   -- by its key, see history()
     select x.* from roomcast.outbox x where x.id >= n.id and x.id <= n.id order by x.id limit 1) o
    join roomcast.attached_tables s on s.id = o.attached
    left join roomcast.parked p on p.room = r.room and p.seq = n.seq
   where r.room = sent_again.room and n.seq between sent_again.first_seq and least(sent_again.last_seq, r.sent_seq)
   order by n.seq
$$;

-- configure says where wake-ups go and with which secret. The secret goes into
-- Vault where there is one. With pg_cron it also schedules the hourly audit and the sweep,
-- every ten seconds if this pg_cron knows seconds (from 1.5 on), else every minute. Null
-- leaves a setting as it is. With an address and no secret yet it makes one, which
-- wakeup_secret() shows: results are not logged, where statements are.
create or replace function roomcast.configure(
  url text default null, secret text default null, retention interval default null, timeout_ms int default null,
  pusher_app text default null, bulk int default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  perform roomcast.need_owner();
  if url is not null and url !~ E'^https?://[^/\\s]+' then
    raise exception 'url: must be an http or https address, as https://app.fly.dev/webhooks/supabase'
      using errcode = 'invalid_parameter_value';
  end if;
  if secret is not null and secret !~ E'^[\\x21-\\x7e]{32,}$' then
    raise exception 'secret: must be at least 32 printable ASCII characters without spaces'
      using errcode = 'invalid_parameter_value';
  end if;
  if retention not between '1 minute' and '1 year' then
    raise exception 'retention: must be 1 minute to 1 year' using errcode = 'invalid_parameter_value';
  end if;
  if bulk not between 1 and 100000 then
    raise exception 'bulk: must be 1 to 100000 rows' using errcode = 'invalid_parameter_value';
  end if;
  if timeout_ms not between 1000 and 10000 then
    raise exception 'timeout_ms: must be 1000 to 10000' using errcode = 'invalid_parameter_value';
  end if;
  if pusher_app = '' then
    raise exception 'pusher_app: is empty' using errcode = 'invalid_parameter_value';
  end if;
  update roomcast.settings s
     set url = coalesce(configure.url, s.url),
         retention = coalesce(configure.retention, s.retention),
         timeout_ms = coalesce(configure.timeout_ms, s.timeout_ms),
         pusher_app = coalesce(configure.pusher_app, s.pusher_app),
         bulk = coalesce(configure.bulk, s.bulk),
         home = roomcast.home();
  if secret is not null then
    perform roomcast.keep_secret(secret);
    if current_setting('log_statement') = 'all' and strpos(current_query(), secret) > 0 then
      raise warning 'secret: it stands in this statement, and so in the server''s log (log_statement is all)'
        using hint = 'Change it: put a new one in front of WEBHOOK_SECRET, deploy, then: ops secret';
    end if;
  elsif url is not null and coalesce(roomcast.wakeup_secret(), '') = '' then
    perform roomcast.keep_secret(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''));
    raise notice 'roomcast: made a secret for the webhook; give the function as WEBHOOK_SECRET what this shows: select roomcast.wakeup_secret()';
  end if;
  perform roomcast.schedule_sweep();
end
$$;

create or replace function roomcast.keep_secret(secret text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  known uuid;
begin
  if to_regclass('vault.decrypted_secrets') is null then
    update roomcast.settings s set secret = keep_secret.secret, vault_name = null;
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
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case when string_to_array(substring(sweep_schedule.cron_version from E'^\\d+(?:\\.\\d+)?'), '.')::int[] < array[1, 5]
              then '* * * * *' else '10 seconds' end
$$;

create or replace function roomcast.schedule_sweep() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    raise notice 'roomcast: no pg_cron here; a lost wake-up waits for the next one';
    return;
  end if;
  execute 'select cron.schedule($1, $2, $3)'
    using 'roomcast-sweep',
          roomcast.sweep_schedule((select extversion from pg_extension where extname = 'pg_cron')),
          'select roomcast.sweep()';
  execute 'select cron.schedule($1, $2, $3)' using 'roomcast-audit', '17 * * * *', 'select roomcast.scheduled_audit()';
end
$$;

commit;
