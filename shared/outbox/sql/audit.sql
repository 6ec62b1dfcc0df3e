-- The audit: the chat's tables against the outbox, the outbox against what was sent. The
-- relay may ask for it; it repairs nothing.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- time_column_of names the column that says when a row was written: the one given to
-- auditing(), else one that the table itself fills with the time.
create or replace function roomcast.time_column_of(s roomcast.attached_tables) returns name
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(s.time_column, (
    select a.attname
      from pg_attribute a join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = s.relation and not a.attisdropped
       and (select t.typcategory from pg_type t where t.oid = a.atttypid) = 'D'   -- not an array of them
       and (roomcast.inner_type(a.atttypid)).type_oid in ('timestamptz'::regtype, 'timestamp'::regtype)
       and pg_get_expr(d.adbin, d.adrelid) ~* E'\\m(now|transaction_timestamp|statement_timestamp|clock_timestamp|current_timestamp|localtimestamp)\\M'
       and a.attname !~* 'updat|edit|modif|chang|delet|expir|seen|read'
     order by a.attname in ('created_at', 'inserted_at', 'sent_at') desc, a.attnum
     limit 1))
$$;

-- serial_of names the primary key of an attached table if a sequence fills it: rows are then
-- written about in its order.
create or replace function roomcast.serial_of(s roomcast.attached_tables) returns name
language sql stable set search_path = pg_catalog, pg_temp as $$
  select a.attname
    from pg_attribute a
   where a.attrelid = s.relation and array[a.attname::text] = s.ids and not a.attisdropped
     and (roomcast.inner_type(a.atttypid)).type_oid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
     and (a.attidentity <> '' or pg_get_serial_sequence(s.relation::text, a.attname) is not null)
$$;

-- is_costly: would finding an attached table's latest rows by this column mean reading a large
-- table from end to end?
create or replace function roomcast.is_costly(relation regclass, name text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select (select coalesce(sum(greatest(c.reltuples, 0)), 0) from pg_class c
           where c.oid = is_costly.relation or c.oid in (select i.inhrelid from pg_inherits i where i.inhparent = is_costly.relation)) > 500000
     and not exists (
       select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = is_costly.relation and i.indpred is null and a.attname = is_costly.name)
$$;

-- missing_rows writes the part of a query, from "from" on, that finds an attached table's rows
-- m which the outbox should hold and does not; or, instead, why it cannot be written.
--
-- A row and its outbox row commit together, so a single statement sees both or
-- neither: a row without one was never captured, however young it is. Rows without a room,
-- rows of transactions that had capture off, and rows from before the table was attached are
-- no losses and are left out. Deleted rows cannot be found, and need not be: nothing that
-- was deleted is sent again.
create or replace function roomcast.missing_rows(s roomcast.attached_tables, since interval, out query text, out note text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
  -- Cleaning goes by the time of numbering, which comes later: a tenth is margin.
  start  constant timestamptz := greatest(
    clock_timestamp() - least(missing_rows.since, (select t.retention * 0.9 from roomcast.settings t)),
    s.attached_at + interval '10 seconds');   -- writers that queued behind attach()
  col    constant name := roomcast.time_column_of(s);
  serial constant name := roomcast.serial_of(s);
  low    bigint;
  recent text;
begin
  if col is not null then
    note   := format('by %I', col);
    recent := format('m.%I between %L::timestamptz and %L::timestamptz', col, start, clock_timestamp());
  elsif serial is not null then
    note := format('by %I', serial);
    select min(roomcast.field_of(o.record, serial)::bigint) into low from roomcast.outbox o
     where o.attached = s.id and o.op = 'INSERT' and o.at >= start;
    recent := format('m.%I > %L::bigint', serial, low);   -- null: nothing to compare with, nothing found
  else
    note := 'not judged: no column tells when a row was written; name one with roomcast.auditing()';
    return;
  end if;
  if roomcast.is_costly(s.relation, coalesce(col, serial)) then
    note := format('not judged: %s is large and has no index that begins with %I', s.relation, coalesce(col, serial));
    return;
  end if;
  query := format('from %s m where %s and m.%I is not null'
    ' and not exists (select from roomcast.outbox o where o.attached = %s'
    ' and o.key_hash = hashtextextended(%s, %s))'
    ' and not exists (select from roomcast.capture_skips q where q.attached = %s and q.xmin = m.xmin)',
    s.relation, recent, s.room_column, s.id,
    roomcast.key_sql(s, 'm', null), s.id, s.id);
end
$$;

-- audit compares, and changes nothing. It returns one row per attached messages table and one
-- per other problem; how_many is 0 if there is none, null if it cannot be determined:
--   missing     in the table, not in the outbox            roomcast.repair()
--   unnumbered  in the outbox, passed over by the numbering roomcast.repair()
--   waiting     not yet taken by Pusher after a minute      is the relay running?
--   holes       numbered, then deleted by hand              clients pass over them
--   parked      never to be taken by Pusher; see roomcast.parked; clients fetch them
--   unroutable  had no room, and were not relayed
create or replace function roomcast.audit(since interval default '24 hours')
returns table (relation text, problem text, how_many bigint, oldest timestamptz, note text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1 as $$
#variable_conflict use_column
declare
  start constant timestamptz := clock_timestamp() - audit.since;
  s     roomcast.attached_tables;
  query text;
  col   name;
begin
  problem := 'missing';
  for s in select * from roomcast.attached_tables where kind = 'rows' and room_column is not null and detached_at is null order by id loop
    relation := s.relation::text;
    oldest   := null;
    how_many := null;
    select * into query, note from roomcast.missing_rows(s, audit.since);
    col := roomcast.time_column_of(s);
    if query is not null then
      execute format('select count(*), %s %s', case when col is null then 'null::timestamptz' else format('min(m.%I)::timestamptz', col) end, query)
        into how_many, oldest;
    end if;
    return next;
  end loop;
  return query
  select null::text, 'unnumbered', count(*), min(o.at), null::text
    from roomcast.outbox o
   where not exists (select from (select unnest(g.ids) as id from roomcast.seq_ranges g) n where n.id = o.id)
     and not exists (select from roomcast.unnumbered() w where w.id = o.id)
     and o.xid is distinct from pg_current_xact_id_if_assigned()
  union all
  select null, 'waiting', count(*), min(o.at), null
    from (select u.id, g.room, g.first_seq + u.i - 1 as seq
            from roomcast.rooms r join roomcast.seq_ranges g on g.room = r.room and g.last_seq > r.sent_seq
           cross join lateral unnest(g.ids) with ordinality as u (id, i)
           where r.head_seq > r.sent_seq and g.first_seq + u.i - 1 > r.sent_seq
          union all
          select f.id, f.room, null from roomcast.unnumbered() f) w
    join roomcast.outbox o on o.id = w.id
   where o.at < clock_timestamp() - interval '1 minute'
  union all
  select null, 'holes', count(*), min(g.at), null
    from roomcast.seq_ranges g cross join lateral unnest(g.ids) as u (id)
   where g.at >= greatest(start, clock_timestamp() - (select t.retention * 0.9 from roomcast.settings t))
     and not exists (select from roomcast.outbox o where o.id = u.id)
  union all
  select null, 'parked', count(*), min(p.at), null from roomcast.parked p where p.at >= start
  union all
  select null, 'unroutable', coalesce(sum(l.count), 0)::bigint, min(l.at), null from roomcast.unroutable l where l.at >= start;
end
$$;

-- repair enqueues again what the audit calls missing, at most max_rows of a table,
-- oldest first, and numbers what the numbering passed over. Each row is locked
-- meanwhile, so that an edit or a deletion comes after it, and one that is being
-- edited or deleted at this moment is left alone. With opted_only it touches only
-- tables for which auditing() has allowed it. What it did is noted in audits.
create or replace function roomcast.repair(since interval default '24 hours', max_rows int default 1000, opted_only boolean default false)
returns table (relation text, problem text, repaired bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set bytea_output = 'hex' set extra_float_digits = 1 as $$
#variable_conflict use_column
declare
  s      roomcast.attached_tables;
  query  text;
begin
  perform pg_advisory_xact_lock(hashtextextended('roomcast.repair', 0));
  problem := 'missing';
  for s in select * from roomcast.attached_tables
            where kind = 'rows' and room_column is not null and detached_at is null and (repairs or not repair.opted_only) order by id loop
    query := (roomcast.missing_rows(s, repair.since)).query;
    relation := s.relation::text;
    continue when query is null;
    execute format('select count(roomcast.capture_row(%s, ''INSERT'', f.row, null))
                      from (select m as row %s order by m.%I limit %s for share of m skip locked) f',
                   s.id, query, coalesce(roomcast.time_column_of(s), roomcast.serial_of(s)), repair.max_rows) into repaired;
    if repaired > 0 then
      insert into roomcast.audits (relation, problem, repaired) values (relation, problem, repaired);
    end if;
    return next;
  end loop;
  relation := null;
  problem  := 'unnumbered';
  repaired := 0;
  if (select a.how_many > 0 from roomcast.audit('0') a where a.problem = 'unnumbered') then
    repaired := roomcast.mark_unnumbered();
    insert into roomcast.audits (problem, repaired) values (problem, repaired);
  end if;
  return next;
end
$$;

-- scheduled_audit is the audit that runs by itself, every hour where there is pg_cron. It notes
-- what it finds, and repairs where auditing() has allowed it.
create or replace function roomcast.scheduled_audit() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into roomcast.audits (relation, problem, found, note)
  select a.relation, a.problem, a.how_many, a.note from roomcast.audit('3 hours') a
   where a.problem in ('missing', 'unnumbered', 'holes');
  perform roomcast.repair('3 hours', 1000, opted_only => true);
end
$$;

-- auditing sets how a messages table is audited: by which column (null: unchanged) and
-- whether the hourly audit may send missing rows (null: unchanged). Allow that only if the
-- database alone fills the column: a row with a later time than its true one would be sent a
-- second time once the retention has deleted the first.
create or replace function roomcast.auditing(table_name text, time_column text default null, repairs boolean default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  tbl constant regclass := roomcast.table_named(table_name);
begin
  if time_column is not null and coalesce(roomcast.value_type(tbl, time_column), '') not like 'timestamp%' then
    raise exception 'time_column: % has no column % of a timestamp type', tbl, time_column using errcode = 'undefined_column';
  end if;
  update roomcast.attached_tables s
     set time_column = coalesce(auditing.time_column, s.time_column), repairs = coalesce(auditing.repairs, s.repairs)
   where s.relation = tbl and s.kind = 'rows' and s.room_column is not null and s.detached_at is null;
  if not found then
    raise exception 'table_name: % is not attached as messages', tbl using errcode = 'undefined_table';
  end if;
end
$$;

commit;
