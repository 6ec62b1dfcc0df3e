-- Deletes rows that have been kept long enough, a little at a time.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- clean removes up to max_ranges ranges of sent rows that are older than the retention,
-- and returns how many rows went. A row that a user's DELETE holds at this moment is
-- left for the next time: the chat never waits for the cleaning. No sequential scans,
-- and each row by its key: planned when there was nothing to clean, it looked through all rooms
-- once for each range; planned over few rows, through all that were kept.
create or replace function roomcast.clean(max_ranges int) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
declare
  before constant timestamptz := (select clock_timestamp() - retention from roomcast.settings);
  picked roomcast.seq_ranges[];
  doomed tid[];
  n      bigint;
begin
  picked := array(
    select g from roomcast.seq_ranges g join roomcast.rooms r using (room)
     where g.at < before and g.last_seq <= r.sent_seq
     order by g.at limit clean.max_ranges
       for update of g skip locked);
  if cardinality(picked) = 0 then
    return 0;
  end if;
  perform roomcast.keep_old_messages(picked);
  doomed := array(
    select o.place from unnest(picked) p cross join lateral unnest(p.ids) as u (id)
     cross join lateral (   -- by its key, see history()
       select x.ctid as place from roomcast.outbox x where x.id >= u.id and x.id <= u.id order by x.id limit 1 for update skip locked) o);
  with gone as (
    delete from roomcast.outbox o where o.ctid = any (doomed) returning o.attached, o.op, o.room, o.at
  ), tallied as (   -- the parity report still counts them, while there is a dual run
    insert into roomcast.parity as p (room, hour, committed)
    select g.room, date_trunc('hour', g.at, 'UTC'), count(*)
      from gone g join roomcast.attached_tables s on s.id = g.attached
     where g.op = 'INSERT' and s.kind = 'rows' and s.name = 'message' and exists (select from roomcast.receipts)
     group by 1, 2 order by 1, 2
    on conflict on constraint parity_pkey do update set committed = p.committed + excluded.committed
  )
  select count(*) into n from gone;
  delete from roomcast.parked k
   where k.ctid = any (array(
     select o.place from unnest(picked) p cross join lateral (
       select x.ctid as place from roomcast.parked x where x.room = p.room and x.seq between p.first_seq and p.last_seq offset 0) o));
  delete from roomcast.seq_ranges g
   where g.ctid = any (array(
     select o.place from unnest(picked) p cross join lateral (
       select x.ctid as place from roomcast.seq_ranges x where x.room = p.room and x.first_seq = p.first_seq offset 0) o
      where not exists (select from unnest(p.ids) as u (id)
                         cross join lateral (select from roomcast.outbox x where x.id >= u.id and x.id <= u.id order by x.id limit 1) r)));
  return n;
end
$$;

-- prune_runs deletes the records of our jobs' runs that are older than a day, at most max_rows
-- of them, from pg_cron's history, which would keep one for each run forever.
create or replace function roomcast.prune_runs(max_rows int) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  n bigint;
begin
  if to_regclass('cron.job_run_details') is null then
    return 0;
  end if;
  execute 'delete from cron.job_run_details d where d.runid in (
             select r.runid from cron.job_run_details r join cron.job j on j.jobid = r.jobid
              where j.jobname like ''roomcast-%'' and r.start_time < clock_timestamp() - interval ''1 day''
              limit $1)' using max_rows;
  get diagnostics n = row_count;
  return n;
end
$$;

-- advance_ids moves our sequences past their tables' rows if they fell back: logical
-- replication copies rows and no sequences, and the chat's statements would then fail.
create or replace function roomcast.advance_ids() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  tbl  regclass;
  ids  regclass;
  last bigint;
begin
  for tbl, ids in
    select c.oid, pg_get_serial_sequence(c.oid::regclass::text, 'id') from pg_class c join pg_attribute a on a.attrelid = c.oid
     where c.relnamespace = 'roomcast'::regnamespace and a.attname = 'id' and a.attidentity <> ''
  loop
    execute format('select max(id) from %s', tbl) into last;
    if last > coalesce(pg_sequence_last_value(ids), 0) then
      perform setval(ids, last + 1000);   -- some may be written meanwhile
    end if;
  end loop;
end
$$;

-- upkeep does a little of all that can wait. A step that fails is told to the server's log
-- and keeps nothing else from being done.
create or replace function roomcast.upkeep() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
  step text;
begin
  foreach step in array array['clean(20)', 'clean_presence()', 'clean_parity(100)', 'clean_delivery(100)', 'scrub_queued(1000)',
                              'fold_unroutable(1000)', 'advance_ids()', 'repair_captures()', 'follow_children()', 'prune_runs(1000)'] loop
    begin
      execute 'select roomcast.' || step;
    exception when others then
      raise log 'roomcast: upkeep: % failed: % (SQLSTATE %)', step, sqlerrm, sqlstate;
    end;
  end loop;
end
$$;

commit;
