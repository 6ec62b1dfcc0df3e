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
commit;
