-- What the function tells of its database (GET /selfcheck), and the test event by which
-- a deploy is verified.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- describe says what schema this is, in which cluster, and whether it can be written to:
-- what a relay cannot read by itself.
drop function if exists roomcast.describe();   -- its columns may have changed
create function roomcast.describe(out schema_version int, out system_identifier text, out read_only boolean, out pusher_app text)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce((select max(m.version) from roomcast.migrations m), 0),
         (select c.system_identifier::text from pg_control_system() c),
         current_setting('transaction_read_only') = 'on' or pg_is_in_recovery(),
         (select s.pusher_app from roomcast.settings s)
$$;

-- probe writes a test event into the outbox, for a room of which nobody is a member. It
-- is claimed, numbered, published and kept as any other, and wakes a relay that sleeps.
create or replace function roomcast.probe() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform roomcast.send('roomcast-selfcheck', 'selfcheck');
end
$$;

-- canary writes a row into the canary's own stream, whose key is no room's and no user's:
-- at most one in a minute, whatever the number of relays, and none while nobody polls, so
-- that it never asks for a wake-up, or while the last one still waits. n is what its event
-- carries, null if none was written; wait is in how many seconds there may be another.
create or replace function roomcast.canary(out n bigint, out wait double precision)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  last  timestamptz;
  now   timestamptz;
  awake timestamptz;
begin
  wait := 60;
  if not pg_try_advisory_xact_lock(hashtextextended('roomcast.canary', 0)) then
    return;   -- another relay does
  end if;
  now := clock_timestamp();
  last := roomcast.read_clock('roomcast.canary_written');
  awake := roomcast.read_clock('roomcast.awake_until');
  if last between now - interval '59 seconds' and now then
    wait := 60 - extract(epoch from now - last);
  elsif awake between now + interval '1 second' and now + interval '1 minute'
    and not exists (select from roomcast.rooms r where r.room = '@canary' and r.head_seq > r.sent_seq) then
    perform roomcast.set_clock('roomcast.canary_written', now);
    n := (extract(epoch from now) * 1000)::bigint;
    perform roomcast.enqueue_event('send', 'SEND', '@canary', format('{"n":%s}', n), 'canary');
  end if;
end
$$;
commit;
