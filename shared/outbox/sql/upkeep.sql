-- What sweep() and clean() do for capture, in bounded steps.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- scrub_queued removes the text of deleted rows from up to max_rows kept outbox rows, and
-- returns how many it changed. Each becomes a deletion with its row's ids.
create or replace function roomcast.scrub_queued(max_rows int) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_seqscan = off set jit = off as $$
declare
  job  roomcast.scrub_queue;
  keys text[];
  ids  bigint[];
  size int;
begin
  select * into job from roomcast.scrub_queue q order by q.id limit 1 for update skip locked;
  if not found then
    return 0;
  end if;
  keys := (select a.keys from roomcast.attached_tables a where a.id = job.attached);
  perform roomcast.forget_old_messages(job.attached, job.room, job.key_hashes);
  if job.key_hashes is null then   -- a truncated table: all rows in turn, from the first kept one on
    ids := array(select o.id from roomcast.outbox o where o.id > job.done_id and o.id <= job.last_id order by o.id limit max_rows);
    size := cardinality(ids);
    update roomcast.scrub_queue q set done_id = ids[size] where q.id = job.id and size = max_rows;
    ids := roomcast.rows_gone(job.attached, ids);
  else
    ids := array(
      select o.id from roomcast.outbox o
       where o.key_hash = any (job.key_hashes) and o.attached = job.attached and o.op not in ('DELETE', 'BULK')
         and o.id <= job.last_id and (job.room is null or o.room = job.room)
       limit max_rows for update skip locked);
    size := cardinality(ids);
  end if;
  update roomcast.outbox o set op = 'DELETE', record = roomcast.pick(o.record, keys), old = null, stub = false
   where o.id = any (ids) and o.attached = job.attached and o.op not in ('DELETE', 'BULK');
  if size < max_rows then
    delete from roomcast.scrub_queue q where q.id = job.id;
  end if;
  return size;
end
$$;

-- rows_gone: of these outbox rows, those of an attachment whose row is no longer in its
-- table: another partition may still have it. Where that cannot be asked, all.
create or replace function roomcast.rows_gone(attached int, ids bigint[]) returns bigint[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  a    roomcast.attached_tables;
  gone bigint[];
begin
  select (roomcast.renamed(x)).* into a from roomcast.attached_tables x where x.id = rows_gone.attached;
  execute format('select array(select o.id from roomcast.outbox o where o.id = any ($1) and o.attached = $2 and o.op not in (''DELETE'', ''BULK'')
                                 and not exists (select from %s m where %s))', a.relation,
                 (select string_agg(format('m.%1$I %3$s roomcast.field_of(o.record, %1$L)::%2$s', id, roomcast.column_type(a.relation, id), roomcast.equals_sql(a.relation, id)), ' and ') from unnest(a.ids) as i (id)))
     into gone using ids, attached;
  return gone;
exception when others then
  return ids;
end
$$;

-- pick keeps the named keys of a record. Postgres cannot parse JSON with an escape that is no
-- character (\u0000, half a surrogate pair), although type json stores it: such escapes are
-- replaced while the record is parsed. A text that is not JSON keeps no keys.
create or replace function roomcast.pick(record text, keys text[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  aside constant text := md5(record);   -- stands for \u; no text holds its own
begin
  return roomcast.pick_json(record, keys);
exception when others then
  begin
    return replace(roomcast.pick_json(regexp_replace(record, E'(?<!\\\\)((?:\\\\\\\\)*)\\\\u', E'\\1' || aside, 'g'), keys), aside, E'\\u');
  exception when others then
    return '{}';
  end;
end
$$;

create or replace function roomcast.pick_json(record text, keys text[]) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select '{' || coalesce(string_agg(to_json(f.key)::text || ': ' || f.value::text, ', '), '') || '}'
    from json_each(pick_json.record::json) f where f.key = any (pick_json.keys)
$$;

-- fold_unroutable adds up what was counted, by day, once there is much of it, and forgets
-- what is older than thirty days. It returns how many rows it took.
create or replace function roomcast.fold_unroutable(max_rows int) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  with taken as (
    delete from roomcast.unroutable u
     where u.id = any (array(
       select o.id from roomcast.unroutable o
        where o.at < clock_timestamp() - interval '30 days'
           or (select count(*) from (select from roomcast.unroutable limit 201) c) > 200
        order by o.id limit max_rows for update skip locked))
    returning u.attached, u.op, u.reason, u.count, u.at
  ), kept as (
    insert into roomcast.unroutable (attached, op, reason, count, at)
    select t.attached, t.op, t.reason, sum(t.count), max(t.at) from taken t
     where t.at > clock_timestamp() - interval '30 days'
     group by t.attached, t.op, t.reason, date_trunc('day', t.at)
  )
  select count(*) from taken
$$;

-- fold_departures makes revocations of up to max_rows departures of which no relay has
-- taken care within three seconds (see queue_revocations), and returns how many users it
-- noted. A user is disconnected once, however many departures there are.
create or replace function roomcast.fold_departures(max_rows int) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  with gone as (
    delete from roomcast.departures d
     where d.id = any (array(select o.id from roomcast.departures o where o.at < clock_timestamp() - interval '3 seconds' and o.room is null
                               order by o.id limit max_rows for update skip locked))
    returning d.user_id
  ), noted as (
    insert into roomcast.revocations as r (user_id, confirmable_at, due)
    select g.user_id, clock_timestamp(), clock_timestamp() from gone g group by g.user_id order by g.user_id
    on conflict (user_id) do update
       set confirmable_at = greatest(r.confirmable_at, excluded.confirmable_at), due = least(r.due, excluded.due), tries = 0
    returning 1
  )
  select count(*) from noted
$$;

commit;
