-- The wake-up: a webhook that asks for the relay's attention. It carries nothing, and may
-- be lost: the sweep repeats it.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

create or replace function roomcast.has_pg_net() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_proc p
                  where p.pronamespace = to_regnamespace('net') and p.proname = 'http_post')
$$;

-- read_clock and set_clock read and set the clocks. Who polls, or sees a wake-up on its way,
-- tells writers with that until when they need to request none: as long as it polls, or for a
-- second. (The two are not compared here: one of them could have moved meanwhile.)
create or replace function roomcast.read_clock(clock regclass) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return to_timestamp(coalesce(pg_sequence_last_value(read_clock.clock), 0) / 1e6::float8);
end
$$;

create or replace function roomcast.set_clock(clock regclass, at timestamptz) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform setval(set_clock.clock, (extract(epoch from set_clock.at) * 1000000)::bigint);
  if set_clock.clock in ('roomcast.awake_until'::regclass, 'roomcast.wakeup_requested'::regclass) then
    perform setval('roomcast.no_wakeup_before', (extract(epoch from set_clock.at) * 1000000)::bigint
      + case when set_clock.clock = 'roomcast.wakeup_requested'::regclass then 1000000 else 0 end);
  end if;
end
$$;

-- is_awake: does a relay poll? A lease that ends later than in a minute was left behind by
-- a clock that has stepped back since, and holds for nothing.
create or replace function roomcast.is_awake() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  until constant timestamptz := roomcast.read_clock('roomcast.awake_until');
begin
  return until between clock_timestamp() and clock_timestamp() + interval '1 minute';
end
$$;

-- wants_wakeup decides for a writer whether its transaction is to request a wake-up: nobody
-- is awake, now or for a minute to come; no wake-up was seen on its way within the last
-- second, or one was but a lease has answered it since; and this transaction has not decided
-- so before.
create or replace function roomcast.wants_wakeup() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  now       constant timestamptz := clock_timestamp();
  awake     constant timestamptz := roomcast.read_clock('roomcast.awake_until');
  requested constant timestamptz := roomcast.read_clock('roomcast.wakeup_requested');
begin
  return awake not between now and now + interval '1 minute'
     and not (requested between now - interval '1 second' and now + interval '1 second' and (requested >= awake or awake > now))
     and current_setting('roomcast.wakeup_wanted', true) is distinct from pg_current_xact_id()::text;
end
$$;

-- decide_wakeup is that for a transaction which then requests one.
create or replace function roomcast.decide_wakeup() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return roomcast.wants_wakeup() and set_config('roomcast.wakeup_wanted', pg_current_xact_id()::text, true) is not null;
end
$$;

-- no_wakeup_sql: nearly always one clock says that none is needed. It is written out where rows
-- are captured, and short: for one row, an expression costs more to prepare than to evaluate.
create or replace function roomcast.no_wakeup_sql() returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select 'abs(pg_sequence_last_value(''roomcast.no_wakeup_before''::regclass)::float8 - date_part(''epoch'', clock_timestamp()) * 1e6 - 30e6) <= 30e6'::text
$$;
drop function if exists roomcast.wakeup_condition();

-- wakeup_secret reads the bearer token, from Vault if it lies there.
create or replace function roomcast.wakeup_secret() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
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

-- home names the database and table that configure() was called in. A copy made by dump,
-- branch or template has other ones and must not wake the relay of the first; pg_upgrade
-- keeps both.
create or replace function roomcast.home() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select d.oid || ':' || 'roomcast.outbox'::regclass::oid from pg_database d where d.datname = current_database()
$$;

-- request_wakeup queues one wake-up, unless one is in the queue already: then pg_net is
-- woken, which may sleep with rows queued after it has found its tables locked. It reports
-- whether it queued one, and never fails: whatever is wrong with pg_net is not the chat's
-- concern. Nor does it wait longer than a moment for a lock on pg_net's tables; who
-- commits within the next second then tries nothing.
create or replace function roomcast.request_wakeup() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '100ms' as $$
declare
  s roomcast.settings;
begin
  select * into s from roomcast.settings;
  if s.url is null or s.home is distinct from roomcast.home() or not roomcast.has_pg_net() then
    return false;
  end if;
  if roomcast.read_clock('roomcast.unanswered_since') <= roomcast.read_clock('roomcast.awake_until')
     or roomcast.read_clock('roomcast.unanswered_since') > clock_timestamp() then
    perform roomcast.set_clock('roomcast.unanswered_since', clock_timestamp());
  end if;
  perform roomcast.set_clock('roomcast.wakeup_requested', clock_timestamp());
  if exists (select from net.http_request_queue q where q.url = s.url) then
    if to_regprocedure('net.wake()') is not null then
      perform net.wake();
    end if;
    return false;
  end if;
  perform net.http_post(
    url => s.url,
    body => jsonb_build_object('type', 'WAKEUP', 'schema', 'roomcast', 'table', 'outbox', 'record', null, 'old_record', null),
    headers => jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || roomcast.wakeup_secret()),
    timeout_milliseconds => s.timeout_ms);
  return true;
exception when others then
  raise log 'roomcast: the wake-up could not be queued (SQLSTATE %)', sqlstate;
  return false;
end
$$;

-- wakeup_at_commit runs once for a transaction that wrote while the relay slept, at its
-- very end: the relay cannot arrive before the row can be seen. If another writer's wake-up is
-- on its way by now, the relay finds this row, too. One expression looks and says so: of those
-- that commit at once, one requests.
create or replace function roomcast.wakeup_at_commit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if (case when to_timestamp(pg_sequence_last_value('roomcast.no_wakeup_before'::regclass) / 1e6::float8) between clock_timestamp() and clock_timestamp() + interval '1 minute' then false
           else setval('roomcast.no_wakeup_before', (extract(epoch from clock_timestamp() + interval '1 second') * 1000000)::bigint) is not null end) then
    perform roomcast.request_wakeup();
  end if;
  return null;
exception when others then
  raise log 'roomcast: the wake-up could not be requested (SQLSTATE %)', sqlstate;
  return null;
end
$$;

do $$
begin
  if not exists (select from pg_trigger where tgname = 'wakeup' and tgrelid = 'roomcast.outbox'::regclass) then
    create constraint trigger wakeup after insert on roomcast.outbox
      deferrable initially deferred for each row when (new.wants_wakeup)
      execute function roomcast.wakeup_at_commit();
  end if;
end
$$;

--------------------------------------------------------------------------------
-- Awake and asleep.
--------------------------------------------------------------------------------

-- start_awake is a relay's first word after start or sleep: it takes the awake lease, and
-- notices a restored database.
create or replace function roomcast.start_awake(lease interval, app text default null) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.check_isolation();
  perform roomcast.check_app(start_awake.app);
  perform roomcast.stay_awake(start_awake.lease);
  perform roomcast.notice_restore();
end
$$;

-- stay_awake moves the awake lease ahead of the database's clock.
create or replace function roomcast.stay_awake(lease interval) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  until constant timestamptz := clock_timestamp() + stay_awake.lease;
begin
  if roomcast.read_clock('roomcast.awake_until') not between until and until + interval '1 minute' then
    perform roomcast.set_clock('roomcast.awake_until', until);
  end if;
end
$$;

-- leave_awake gives the awake lease back early, for a relay that must stop now.
create or replace function roomcast.leave_awake() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if roomcast.read_clock('roomcast.awake_until') > clock_timestamp() then
    perform roomcast.set_clock('roomcast.awake_until', clock_timestamp());
  end if;
end
$$;

-- has_waiting: is there any row that Pusher has not accepted, due now or later, or a user
-- to be disconnected soon? One that has failed for long does not keep a relay awake: the
-- sweep requests a wake-up when it is due.
create or replace function roomcast.has_waiting() returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  return roomcast.has_unnumbered()
      or exists (select from roomcast.rooms r where r.head_seq > r.sent_seq)
      or exists (select from roomcast.departures)
      or exists (select from roomcast.revocations v where v.due <= (select clock_timestamp() + interval '5 seconds'));
end
$$;

-- may_sleep tells a relay that let its lease lapse whether it may stop polling: the lease
-- of every relay is over, nothing waits, and no transaction that wrote while the lease
-- held is still open, prepared ones included. Such a one holds its lock on the outbox
-- until it ends, and requested no wake-up. One that was prepared more than a minute ago is
-- the sweep's: it may have been forgotten.
create or replace function roomcast.may_sleep() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return not roomcast.is_awake()
     and not exists (select from pg_locks l
                      where l.locktype = 'relation' and l.relation = 'roomcast.outbox'::regclass
                        and l.mode = 'RowExclusiveLock' and l.pid is distinct from pg_backend_pid()
                        and l.database = (select d.oid from pg_database d where d.datname = current_database())
                        and (l.pid is not null or exists (
                          select from pg_prepared_xacts p
                           where p.database = current_database() and p.prepared > clock_timestamp() - interval '1 minute')))
     and not roomcast.has_waiting();
end
$$;

-- may_ask_again: the sweep's wake-ups come less often the longer no relay has answered one,
-- by a tenth of that time and at least every ten minutes. A copy of the cluster's files is
-- told from its origin by nothing that a restart or a failover would leave as it was: it
-- asks its origin's function, which finds nothing to do, and must not keep it awake.
create or replace function roomcast.may_ask_again() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  since constant timestamptz := roomcast.read_clock('roomcast.unanswered_since');
  asked constant timestamptz := roomcast.read_clock('roomcast.wakeup_requested');
begin
  return since <= roomcast.read_clock('roomcast.awake_until') or since > clock_timestamp() or asked not between since + interval '1 minute' and clock_timestamp()
      or clock_timestamp() - asked >= least((asked - since) / 10, interval '10 minutes');
end
$$;

-- sweep is the backstop, run by pg_cron: it requests a wake-up if anything waits while
-- nobody is awake, and then does a little of the upkeep. It reports whether a wake-up was
-- queued.
create or replace function roomcast.sweep() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  woken boolean := false;
begin
  perform roomcast.find_expired();
  perform roomcast.check_departures(1000);
  if not roomcast.is_awake() and roomcast.may_ask_again()
     and (roomcast.has_unnumbered()
          or exists (select from roomcast.rooms r where r.attention <= (select clock_timestamp()))
          or exists (select from roomcast.revocations v where v.due <= (select clock_timestamp()))
          or exists (select from roomcast.departures)) then
    woken := roomcast.request_wakeup();
  end if;
  perform roomcast.upkeep();
  return woken;
end
$$;

commit;
