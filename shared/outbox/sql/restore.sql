-- How a relay notices that it has another Pusher app or another database.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- check_app binds the outbox to the first Pusher app that claims from it, and refuses
-- another: staging's function with production's database would send the chat's rows away.
create or replace function roomcast.check_app(app text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  bound text;
begin
  if check_app.app is null then
    return;
  end if;
  bound := (select s.pusher_app from roomcast.settings s);
  if bound is null then
    update roomcast.settings s set pusher_app = check_app.app where s.pusher_app is null;
    bound := (select s.pusher_app from roomcast.settings s);
  end if;
  if bound <> check_app.app then
    raise exception 'app: this outbox belongs to Pusher app %, not to %', bound, check_app.app
      using errcode = 'RC012', hint = format('select roomcast.configure(pusher_app => %L)', check_app.app);
  end if;
end
$$;

-- identity names what the numbering belongs to: cluster, timeline, database, outbox. A
-- point-in-time restore and a promotion have another timeline, a dump's copy has at least
-- another outbox.
create or replace function roomcast.identity() returns text
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select s.system_identifier || ':' || roomcast.home() || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
    from pg_control_system() s
$$;

-- mark_restored makes the rows of a copied outbox that have no number new to the numbering,
-- as if this transaction had written them: of the next most rows behind from_id, in the
-- order of their ids. Of a million kept rows it reads few: those that the copied cursor
-- calls new, which is of the same moment as they are, and those behind some numbered row,
-- among which is all that was written here since. Where identities do not go on behind what
-- is kept, the copy was not made at one moment: all are compared. It returns how far it
-- came; null: to the end.
create or replace function roomcast.mark_restored(from_id bigint, most int) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = on set enable_nestloop = on set jit = off set plan_cache_mode = force_custom_plan set work_mem = '64MB' as $$
declare
  c     constant roomcast.cursor := roomcast.last_cursor();
  known constant bigint := coalesce((
    select max(g.ids[cardinality(g.ids)]) from (select s.ids from roomcast.seq_ranges s order by s.at desc limit 100) g), 0);
  every constant boolean := c.next_xid is null or c.restored_id > 0
     or coalesce(pg_sequence_last_value(pg_get_serial_sequence('roomcast.outbox', 'id')::regclass), 0) < (select max(o.id) from roomcast.outbox o);
  reach bigint;
begin
  if from_id = 0 and not every then
    from_id := coalesce(least(
      (select min(o.id) from roomcast.outbox o where o.xid >= c.next_xid),
      (select min(o.id) from roomcast.outbox o where o.xid = any (c.open_xids)), known + 1), 1) - 1;
  end if;
  with candidates as materialized (
    select o.id, o.room from roomcast.outbox o
     where o.id > mark_restored.from_id and (every or o.xid >= c.next_xid or o.xid = any (c.open_xids) or o.id > known)
     order by o.id limit most
  ), numbered as materialized (
    select unnest(g.ids) as id from roomcast.seq_ranges g
     where (every or g.room in (select p.room from candidates p))
       and g.ids[cardinality(g.ids)] >= (select min(p.id) from candidates p) and g.ids[1] <= (select max(p.id) from candidates p)
  ), marked as (
    update roomcast.outbox o set xid = pg_current_xact_id()
      from candidates p
     where p.id = o.id and not exists (select from numbered b where b.id = p.id)
  )
  select case when count(*) = most then max(p.id) end into reach from candidates p;
  return reach;
end
$$;

-- notice_restore notices a database other than the one in which rows were last numbered.
-- Numbers may have been given in the other one that the restored rooms do not have, so every
-- room gets another epoch. In another cluster, xids say nothing about the restored rows:
-- those without a number are made new to the numbering, the others are known by their
-- ranges. There may be millions, so each call does one step, and until the last step nobody
-- claims or numbers.
-- A relay may still be publishing under a lease that the restore undid: as long as that is
-- possible, nobody claims. With anyway, the numbering has noticed that transactions are
-- counted from a lower number.
create or replace function roomcast.notice_restore(lease interval default '5 seconds', anyway boolean default false, step int default 50000) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = on set jit = off as $$
declare
  outbox   constant oid := 'roomcast.outbox'::regclass;
  here     text;
  s        roomcast.settings;
  restored constant pg_snapshot := pg_current_snapshot();
  reach    bigint;
begin
  if (select t.identity || ':' || outbox from roomcast.settings t where t.restoring is null) = current_setting('roomcast.checked', true) and not anyway then
    return;
  end if;
  here := roomcast.identity();
  perform set_config('roomcast.checked', here || ':' || outbox, false);   -- a fact about this backend, behind a pooler, too
  if (select t.identity = here and t.restoring is null from roomcast.settings t) and not anyway then
    return;
  end if;
  select * into s from roomcast.settings t for update;   -- one relay does this
  if s.restoring is null or s.identity is distinct from here then
    anyway := (roomcast.last_cursor()).next_xid > pg_snapshot_xmax(restored);
    if s.identity = here and not anyway then
      return;
    end if;
    update roomcast.settings t
       set identity = here,
           claims_from = case when s.identity is not null or anyway then clock_timestamp() + notice_restore.lease end,
           incarnation = case when s.identity is null and not anyway then '' else substr(md5(gen_random_uuid()::text), 1, 4) end;
    if not anyway and (s.identity is null or left(s.identity, -9) = left(here, -9)) then
      return;   -- first use, or the same cluster on another timeline: its xids go on
    end if;
    if s.restoring is not null then   -- restored while it was being restored
      update roomcast.cursor c set restored_id = greatest(c.restored_id, 1) where c.id = (roomcast.last_cursor()).id;
    end if;
    s.restoring := 0;
    s.restoring_from := pg_snapshot_xmax(restored);
    s.restoring_xids := array(select pg_snapshot_xip(restored));
  end if;
  perform pg_advisory_xact_lock(hashtextextended('roomcast.assign_seqs', 0));
  reach := roomcast.mark_restored(s.restoring, step);
  s.restoring_xids := s.restoring_xids || pg_current_xact_id();
  update roomcast.settings t set restoring = reach, restoring_from = s.restoring_from, restoring_xids = s.restoring_xids;
  if reach is null then
    insert into roomcast.cursor (next_xid, open_xids, restored_id)
    values (s.restoring_from, array(select x from unnest(s.restoring_xids) x where x < s.restoring_from),
            (select coalesce(max(o.id), 0) from roomcast.outbox o));
  end if;
end
$$;

commit;
