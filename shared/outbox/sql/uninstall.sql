-- Taking it all away again.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- uninstall removes what migrate, attach and configure made, as far as its caller may,
-- and returns a line for each thing, done or left. The chat's tables stay as they were,
-- without the triggers. It works without pg_cron and Vault, and for an owner who is no
-- superuser. Bring the pages back to Supabase first: see infra/MOVING.md.
create or replace function roomcast.uninstall() returns setof text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  job   text;
  kept  text;
begin
  if to_regclass('cron.job') is not null then
    for job in execute 'select j.jobname::text from cron.job j where j.jobname like ''roomcast-%'' and j.database = current_database()' loop
      begin
        execute 'select cron.unschedule($1)' using job;
        return next format('unscheduled %s', job);
      exception when others then
        return next format('left the job %s: %s (the role that scheduled it can: select cron.unschedule(''%s'');)', job, sqlerrm, job);
      end;
    end loop;
  end if;
  select s.vault_name into kept from roomcast.settings s;
  if kept is not null and to_regclass('vault.secrets') is not null then
    begin
      execute 'delete from vault.secrets where name = $1' using kept;
      return next format('deleted the secret %s from Vault', kept);
    exception when others then
      return next format('left the secret %s in Vault: %s', kept, sqlerrm);
    end;
  end if;
  drop schema roomcast cascade;
  return next 'dropped the schema roomcast, and its triggers on the chat''s tables';
  begin
    drop role roomcast_relay;
    return next 'dropped the role roomcast_relay';
  exception
    when dependent_objects_still_exist then
      begin
        grant roomcast_relay to current_user;
        drop owned by roomcast_relay;
        drop role roomcast_relay;
        return next 'dropped the role roomcast_relay and what was granted to it';
      exception when others then
        return next format('left the role roomcast_relay: %s', sqlerrm);
      end;
    when others then
      return next format('left the role roomcast_relay: %s', sqlerrm);
  end;
end
$$;
comment on function roomcast.uninstall() is 'Removes Roomcast from this database. Your tables stay as they were.';
commit;
