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

create or replace function roomcast.is_awake() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select a.until >= clock_timestamp() from roomcast.awake a);
end
$$;

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

-- note_wakeup tells writers that a wake-up is on its way. Only who holds
-- request_wakeup()'s lock calls it, so nobody ever waits for the row.
create or replace function roomcast.note_wakeup() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update roomcast.wakeup set requested_at = clock_timestamp();
exception when serialization_failure then
  null;   -- a transaction that sees an older state
end
$$;

-- request_wakeup queues one wake-up, unless one is already on its way or being queued by
-- a transaction that commits at this moment. It reports whether it queued one, and never
-- fails: whatever is wrong with pg_net is not the chat's concern.
create or replace function roomcast.request_wakeup() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  s roomcast.settings;
begin
  select * into s from roomcast.settings;
  if s.url is null or not roomcast.has_pg_net() then
    return false;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('roomcast.wakeup', 0)) then
    return false;
  end if;
  if exists (select from net.http_request_queue q where q.url = s.url) then
    perform roomcast.note_wakeup();
    return false;
  end if;
  perform net.http_post(
    url => s.url,
    body => jsonb_build_object('type', 'WAKEUP', 'schema', 'roomcast', 'table', 'outbox', 'record', null, 'old_record', null),
    headers => jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || roomcast.wakeup_secret()),
    timeout_milliseconds => s.timeout_ms);
  perform roomcast.note_wakeup();
  return true;
exception when others then
  raise log 'roomcast: the wake-up could not be queued (SQLSTATE %)', sqlstate;
  return false;
end
$$;

-- wakeup_condition is true for a writer that should wake the relay: nobody polls, no
-- wake-up is on its way, and this transaction has not asked for one.
create or replace function roomcast.wakeup_condition() returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select $sql$(select a.until < clock_timestamp() and b.requested_at < greatest(a.until, clock_timestamp() - interval '1 second')
      from (select until from roomcast.awake limit 1) a, (select requested_at from roomcast.wakeup limit 1) b)
      and current_setting('roomcast.wakeup_wanted', true) is distinct from pg_current_xact_id()::text$sql$
$$;

-- wants_wakeup is wakeup_condition() for those who do not write it out.
create or replace function roomcast.wants_wakeup() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select a.until < clock_timestamp() and b.requested_at < greatest(a.until, clock_timestamp() - interval '1 second')
            from (select until from roomcast.awake limit 1) a, (select requested_at from roomcast.wakeup limit 1) b)
     and current_setting('roomcast.wakeup_wanted', true) is distinct from pg_current_xact_id()::text;
end
$$;

-- wakeup_at_commit runs once for a transaction that wrote while the relay slept, at its
-- very end: its lock is then held for no longer than the commit takes, and the relay
-- cannot arrive before the row can be seen.
create or replace function roomcast.wakeup_at_commit() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not roomcast.is_awake() then
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
-- notices a database that was restored from a copy. There every room's numbering starts
-- again under a new epoch, since what was sent after the copy is not known.
create or replace function roomcast.start_awake(lease interval) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  here constant bigint := (select system_identifier from pg_control_system());
  was  bigint;
begin
  perform roomcast.stay_awake(start_awake.lease);
  select cluster_id into was from roomcast.settings;
  if was is not distinct from here then
    return;
  end if;
  update roomcast.settings set cluster_id = here where cluster_id is not distinct from was;
  if found and was is not null then
    perform roomcast.assign_seqs(full_scan => true);
    update roomcast.rooms set epoch = substr(md5(gen_random_uuid()::text), 1, 8);
  end if;
end
$$;

-- stay_awake moves the awake lease ahead of the database's clock.
create or replace function roomcast.stay_awake(lease interval) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  update roomcast.awake set until = greatest(until, clock_timestamp() + stay_awake.lease)
$$;

-- leave_awake gives the awake lease back early, for a relay that must stop now.
create or replace function roomcast.leave_awake() returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  update roomcast.awake set until = clock_timestamp() where until > clock_timestamp()
$$;

-- has_waiting: is there any row that Pusher has not accepted, due now or later, or a user
-- to be disconnected soon? One that has failed for long does not keep a relay awake: the
-- sweep requests a wake-up when it is due.
create or replace function roomcast.has_waiting() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  return roomcast.has_unnumbered()
      or exists (select from roomcast.rooms r where r.head_seq > r.sent_seq)
      or exists (select from roomcast.departures)
      or exists (select from roomcast.revocations v where v.due <= (select clock_timestamp() + interval '5 seconds'));
end
$$;

-- may_sleep tells a relay that let its lease lapse whether it may stop polling: the lease
-- of every relay is over, nothing waits, and no transaction that wrote while the lease
-- held is still open. Such a one holds its lock on the outbox until it ends, and
-- requested no wake-up.
create or replace function roomcast.may_sleep() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  return not roomcast.is_awake()
     and not exists (select from pg_locks l
                      where l.locktype = 'relation' and l.relation = 'roomcast.outbox'::regclass
                        and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()
                        and l.database = (select d.oid from pg_database d where d.datname = current_database()))
     and not roomcast.has_waiting();
end
$$;

-- sweep is the backstop, run by pg_cron: it requests a wake-up if anything waits while
-- nobody is awake, and clears a little of what has been kept long enough.
create or replace function roomcast.sweep() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not roomcast.is_awake()
     and (roomcast.has_unnumbered()
          or exists (select from roomcast.rooms r where r.head_seq > r.sent_seq and r.due <= (select clock_timestamp()))
          or exists (select from roomcast.revocations v where v.due <= (select clock_timestamp()))
          or exists (select from roomcast.departures)) then
    return roomcast.request_wakeup();
  end if;
  perform roomcast.clean(20);
  perform roomcast.clean_presence();
  perform roomcast.scrub_queued(1000);
  perform roomcast.fold_unroutable(1000);
  perform roomcast.repair_captures();
  return false;
end
$$;

commit;
