-- Rights: nobody has any, the relay has these. Applied last, since a new function is open
-- to public.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- close_to_all takes every table and function of the schema from everybody but its owner
-- and the relay's role.
create or replace function roomcast.close_to_all() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  grantee text;
begin
  revoke all on all tables    in schema roomcast from public;
  revoke all on all sequences in schema roomcast from public;
  revoke all on all functions in schema roomcast from public;
  for grantee in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
    execute format('revoke all on schema roomcast from %I', grantee);
    execute format('revoke all on all tables in schema roomcast from %I', grantee);
    execute format('revoke all on all sequences in schema roomcast from %I', grantee);
    execute format('revoke all on all functions in schema roomcast from %I', grantee);
  end loop;
end
$$;

select roomcast.close_to_all();

-- Event triggers of a project may enable row level security on every new table, some of them
-- for its owner, too. The chat's statements write to our tables with the owner's rights.
do $$
declare
  tbl regclass;
begin
  for tbl in select c.oid from pg_class c where c.relnamespace = 'roomcast'::regnamespace and c.relkind = 'r'
              and c.relforcerowsecurity and pg_has_role(c.relowner, 'usage') loop
    execute format('alter table %s no force row level security', tbl);
  end loop;
  execute format('grant all on all tables in schema roomcast to %I', (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'roomcast'));
end
$$;
grant execute on function
  roomcast.start_awake(interval, text),
  roomcast.stay_awake(interval),
  roomcast.may_sleep(),
  roomcast.leave_awake(),
  roomcast.release_leases(text),
  roomcast.has_waiting(),
  roomcast.assign_seqs(boolean, int),
  roomcast.await_rows(interval, interval),
  roomcast.claim(text, int, int, interval, text),
  roomcast.ack(text[], bigint[], bigint[], double precision[]),
  roomcast.park(text, bigint, bigint, text),
  roomcast.clean(int),
  roomcast.upkeep(),
  roomcast.readable_from(text, uuid),
  roomcast.history(text, bigint, int, timestamptz, text),
  roomcast.may_read(text, uuid, jsonb),
  roomcast.may_read_all(text[], uuid[], jsonb[]),
  roomcast.info_of(text, uuid, jsonb),
  roomcast.queue_revocations(text[], bigint[], interval),
  roomcast.claim_revocations(int, interval),
  roomcast.confirm_revocations(text[], timestamptz[], double precision[]),
  roomcast.pending_revocations(text[]),
  roomcast.note_presence(text[], text[], boolean[], timestamptz, boolean),
  roomcast.clean_presence(),
  roomcast.backlog(),
  roomcast.snapshot_holders(interval),
  roomcast.members_of(text),
  roomcast.mark_read(text, uuid, bigint),
  roomcast.my_rooms(uuid, jsonb),
  roomcast.note_receipt(uuid, uuid, text, bigint, jsonb),
  roomcast.parity_report(timestamptz, int),
  roomcast.note_delivery(uuid, uuid, bigint, jsonb),
  roomcast.delivery_report(timestamptz),
  roomcast.audit(interval),
  roomcast.describe(),
  roomcast.probe(),
  roomcast.canary()
to roomcast_relay;

commit;
