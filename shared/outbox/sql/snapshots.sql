-- Who keeps dead rows from being cleaned away: while a snapshot is held, every version that
-- it may still see stays, and whatever reads the outbox's tables steps over them.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- full_xid is a transaction's number with the epoch that xmin and its like lack. None of
-- them is ahead of the next one.
create or replace function roomcast.full_xid(x xid) returns xid8
language sql stable set search_path = pg_catalog, pg_temp as $$
  select (n.next - ((n.next - full_xid.x::text::bigint) & 4294967295))::text::xid8
    from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint) n (next)
$$;

-- written_since says when the first row still kept was written of those that are not older
-- than a transaction: slots and standbys have a transaction's number and no time. Null:
-- there is none. Rows have their ids in the order of time, nearly; the search by halves
-- looks at up to a hundred ids in each place, since where rows were cleaned away under a
-- held snapshot it would step over all of them. A gap counts as older: the answer may be
-- too young, never too old.
create or replace function roomcast.written_since(x xid8) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  older bigint := (select max(c.restored_id) from roomcast.cursor c);   -- of another cluster, whose numbers say nothing here
  newer bigint := coalesce(pg_sequence_last_value('roomcast.outbox_id_seq'), 0) + 1;
  here  bigint;
  xid   xid8;
  at    timestamptz;
  since timestamptz;
begin
  while newer - older > 1 loop
    here := older + (newer - older) / 2;
    select o.xid, o.at into xid, at from roomcast.outbox o where o.id between here and least(here + 99, newer - 1) order by o.id limit 1;
    if xid >= written_since.x then
      newer := here;
      since := at;
    else
      older := here;
    end if;
  end loop;
  return since;
end
$$;

-- snapshot_holders lists those who have held one for so long, the oldest first, as far as
-- the owner of this schema may see them (pg_read_all_stats):
--   session    of this database, or one that writes in another, with which new snapshots begin
--   prepared   a transaction that PREPARE TRANSACTION left behind
--   standby    with hot_standby_feedback
--   slot       of a standby; catalog: one of logical replication, which holds back the system's tables alone
-- who is an application or a role, a transaction's name or a slot's. Nothing of a query.
-- A session's snapshot is as old as its transaction, or younger: of its latest statement.
drop function if exists roomcast.snapshot_holders(interval);
create function roomcast.snapshot_holders(older interval)
returns table (kind text, who text, age double precision, pid int, about text)
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  with holder as materialized (
    select 'session' as kind, coalesce(nullif(a.application_name, ''), 'role ' || a.usename, a.backend_type) as who, a.xact_start as start,
           least(roomcast.full_xid(a.backend_xmin), roomcast.full_xid(a.backend_xid)) as x, a.pid,
           concat_ws(', ', a.usename, a.state, case when a.datname <> current_database() then 'database ' || a.datname end) as about
      from pg_stat_activity a
     where (a.backend_xmin is not null and (a.datname = current_database() or a.datname is null) or a.backend_xid is not null)
       and a.xact_start <= clock_timestamp() - snapshot_holders.older
       and a.pid <> pg_backend_pid() and a.backend_type not in ('walsender', 'parallel worker')
       and a.pid not in (select v.pid from pg_stat_progress_vacuum v)   -- which holds nothing back
    union all
    select 'prepared', p.gid, p.prepared, roomcast.full_xid(p.transaction), null, concat_ws(', ', p.owner, 'database ' || p.database)
      from pg_prepared_xacts p where p.prepared <= clock_timestamp() - snapshot_holders.older
    union all
    select 'standby', coalesce(nullif(r.application_name, ''), 'role ' || r.usename), null, roomcast.full_xid(r.backend_xmin), r.pid, r.state
      from pg_stat_replication r where r.backend_xmin is not null
    union all
    select k.kind, s.slot_name, null, roomcast.full_xid(k.x), s.active_pid, case when s.active then 'active' else 'inactive' end
      from pg_replication_slots s cross join lateral (values ('slot', s.xmin), ('catalog', s.catalog_xmin)) k (kind, x)
     where k.x is not null
  )
  select h.kind, left(regexp_replace(h.who, '[^][A-Za-z0-9 _.,:;/+=@#()*-]', '?', 'g'), 63), t.age, h.pid, h.about
    from holder h cross join lateral (
      select extract(epoch from clock_timestamp() - greatest(h.start, roomcast.written_since(h.x)))::double precision as age) t
   where t.age >= extract(epoch from snapshot_holders.older)
   order by t.age desc
$$;

commit;
