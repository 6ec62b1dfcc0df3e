-- Partitions and inheriting tables: their triggers, those that come and go, and TRUNCATE,
-- which is told of a part as of the whole.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- children_of are the tables below a table: partitions, and tables that inherit from it.
create or replace function roomcast.children_of(relation regclass) returns regclass[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive below (child) as (
    select i.inhrelid from pg_inherits i where i.inhparent = children_of.relation and not i.inhdetachpending
    union
    select i.inhrelid from below b join pg_inherits i on i.inhparent = b.child and not i.inhdetachpending
  )
  select array(select b.child::regclass from below b join pg_class c on c.oid = b.child and c.relkind in ('r', 'p') order by b.child)
$$;

-- rows_move: can a row of this attachment move between partitions, and be found there?
create or replace function roomcast.rows_move(a roomcast.attached_tables) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select a.kind = 'rows' and exists (
    select from pg_class c join pg_index i on i.indrelid = c.oid
      join pg_attribute t on t.attrelid = c.oid and t.attnum = i.indkey[0]
     where c.oid = a.relation and c.relkind = 'p' and i.indpred is null and t.attname = a.ids[1])
$$;

-- trigger_suffixes: the triggers that a table has for an attachment, the attached table or
-- one below it. Postgres itself copies row triggers to partitions, and no others.
create or replace function roomcast.trigger_suffixes(a roomcast.attached_tables, tbl regclass) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when tbl = a.relation or c.relkind <> 'p' then array['insert', 'update', 'delete'] else '{}' end
      || case when a.row_wise then array['end'] else '{}' end
      || case when roomcast.rows_move(a) and t.relkind = 'p' then array['begin'] else '{}' end
      || case when tbl = a.relation then array['truncate', 'truncated'] when t.relkind = 'r' then array['truncate'] else '{}' end
    from pg_class c, pg_class t where c.oid = a.relation and t.oid = tbl
$$;

-- lacking_triggers are those of some tables that lack one: with many partitions one by one
-- would keep the sweep busy.
create or replace function roomcast.lacking_triggers(a roomcast.attached_tables, tables regclass[]) returns regclass[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  with kinds as materialized (
    select k.kind, array(select format('roomcast_%s_%s', a.id, s) from unnest(roomcast.trigger_suffixes(a, k.one)) s) as names
      from (select c.relkind as kind, min(c.oid)::regclass as one from pg_class c where c.oid = any (tables) group by c.relkind) k
  )
  select array(select c.oid::regclass
                 from unnest(tables) u join pg_class c on c.oid = u join kinds k on k.kind = c.relkind
                where (select count(*) from pg_trigger t where t.tgrelid = c.oid and t.tgname = any (k.names)) < cardinality(k.names))
$$;

create or replace function roomcast.has_triggers(a roomcast.attached_tables, tbl regclass) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select not exists (
    select from unnest(roomcast.trigger_suffixes(a, tbl)) suffix
     where not exists (select from pg_trigger t where t.tgrelid = tbl and t.tgname = format('roomcast_%s_%s', a.id, suffix)))
$$;

-- make_triggers puts an attachment's triggers on its table and those below it.
create or replace function roomcast.make_triggers(a roomcast.attached_tables) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  below constant regclass[] := roomcast.children_of(a.relation);
  tbl   regclass;
begin
  foreach tbl in array a.relation || below loop
    perform roomcast.make_triggers_on(a, tbl);
  end loop;
  update roomcast.attached_tables t set children = below where t.id = a.id;
end
$$;

create or replace function roomcast.make_triggers_on(a roomcast.attached_tables, tbl regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
declare
  suffix text;
begin
  if not a.row_wise then
    execute format('drop trigger if exists roomcast_%s_end on %s', a.id, tbl);
  end if;
  foreach suffix in array roomcast.trigger_suffixes(a, tbl) loop
    execute format('create or replace trigger roomcast_%1$s_%2$s %3$s on %4$s for each %5$s execute function roomcast.capture_%6$s',
      a.id, suffix,
      case suffix when 'end' then 'after insert or update or delete' when 'begin' then 'before update' when 'truncate' then 'before truncate' when 'truncated' then 'after truncate'
                  else 'after ' || suffix end,
      tbl || case when a.row_wise or suffix not in ('insert', 'update', 'delete') then ''
                  else ' referencing' || case when suffix <> 'insert' then ' old table as old_rows' else '' end
                       || case when suffix <> 'delete' then ' new table as new_rows' else '' end end,
      case when a.row_wise and suffix in ('insert', 'update', 'delete') then 'row' else 'statement' end,
      case when suffix in ('begin', 'end') then format('%s(%L)', suffix, a.id) when suffix in ('truncate', 'truncated') then format('truncate(%L)', a.id)
           else format('%s_%s()', a.id, suffix) end);
  end loop;
end
$$;

create or replace function roomcast.drop_triggers_on(attached int, tbl regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
declare
  trigger_name name;
begin
  for trigger_name in
    select t.tgname from pg_trigger t
     where t.tgrelid = tbl and t.tgparentid = 0 and t.tgname ~ format('^roomcast_%s_(insert|update|delete|begin|end|truncated?)$', attached)
  loop
    execute format('drop trigger %I on %s', trigger_name, tbl);
  end loop;
end
$$;

-- follow_parent has an attached table captured by the row once it has come below another
-- table: what is written under that one's name fires no trigger of its statements. What was
-- written so until now is not known, and noted.
create or replace function roomcast.follow_parent(a roomcast.attached_tables) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if a.row_wise or not exists (select from pg_inherits i where i.inhrelid = a.relation) then
    return;
  end if;
  update roomcast.attached_tables t set row_wise = true where t.id = a.id returning t.* into a;
  perform roomcast.make_triggers(a);   -- which waits for those who write at the moment
  perform roomcast.write_capture(a);
  insert into roomcast.audits (relation, problem, note)
  select a.relation::text, 'partition attached', format('below %s; what was written under that name before was not relayed', i.inhparent::regclass)
    from pg_inherits i where i.inhrelid = a.relation limit 1;
exception when others then
  raise log 'roomcast: %: % (SQLSTATE %)', a.relation, sqlerrm, sqlstate;
end
$$;

-- follow_children gives tables that have come below an attached one their triggers, takes
-- them from those that have gone, and tells the rooms of both that many rows changed: no
-- statement of rows did that. It returns how many came and went. It waits for a lock of the
-- chat's for no longer than a moment, and comes again.
create or replace function roomcast.follow_children() returns int
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '100ms' as $$
declare
  a     roomcast.attached_tables;
  below regclass[];
  here  regclass[];   -- those that came
  gone  regclass[];
  child regclass;
  n     int := 0;
begin
  for a in select t.* from roomcast.attached_tables t join pg_class c on c.oid = t.relation
            where t.detached_at is null and t.relation <> all (array['roomcast.revocations', 'roomcast.presence', 'roomcast.outbox']::regclass[]) loop
    perform roomcast.follow_parent(a);
    select t.* into a from roomcast.attached_tables t where t.id = a.id;
    below := roomcast.children_of(a.relation);
    here := array(select u from unnest(below) u except select unnest(a.children));
    gone := array(select u from unnest(a.children) u except select unnest(below));
    foreach child in array array(select distinct u from unnest(here || gone || roomcast.lacking_triggers(a, below)) u) loop
      begin
        if child = any (here) and child <> all (a.children) then
          perform roomcast.make_triggers_on(a, child);
          perform roomcast.tell_moved(a, child, 'ATTACH');
          update roomcast.attached_tables t set children = t.children || child where t.id = a.id returning t.* into a;
          n := n + 1;
        elsif child = any (gone) then
          perform roomcast.drop_triggers_on(a.id, child);
          perform roomcast.tell_moved(a, child, 'DETACH');
          update roomcast.attached_tables t set children = array_remove(t.children, child) where t.id = a.id;
          n := n + 1;
        else
          perform roomcast.make_triggers_on(a, child);
        end if;
      exception when others then
        raise log 'roomcast: % below %: % (SQLSTATE %)', child, a.relation, sqlerrm, sqlstate;
      end;
    end loop;
  end loop;
  return n;
end
$$;

-- tell_moved tells of a table that has come below an attached one or gone, of up to twenty
-- thousand of its rows: those that no event has told of already, if it has come. Who was a
-- member by it and by nothing else is none now. What it could not tell is noted in audits.
create or replace function roomcast.tell_moved(a roomcast.attached_tables, child regclass, op text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = on set jit = off as $$
declare
  most  constant int := 20000;
  rows  constant text := format('(select 1::bigint as "roomcast.n", s.* from %s s limit %s)', child, most);
  here  roomcast.attached_tables;
  rooms text[];
  sizes bigint[];
  size  bigint;
  why   text;
begin
  if not exists (select from pg_class c where c.oid = child) then
    insert into roomcast.audits (relation, problem, note)
    values (a.relation::text, 'partition dropped', format('number %s was dropped with what it held; no room was told', child::oid));
    return;
  end if;
  begin
    here := roomcast.present(a);
    execute format('select array_agg(c.room), array_agg(c.count) from (select e.room, count(*) as count from %s and e.room is not null and %s group by e.room limit 1000) c',
                   roomcast.events_sql(here, 'DELETE', rows, null, null),
                   case when op = 'DETACH' then 'true'
                        else format('not exists (select from roomcast.outbox o where o.attached = %1$s and o.key_hash = hashtextextended(%2$s, %1$s))',
                                    a.id, roomcast.key_sql(here, 'r', 'e')) end) into rooms, sizes;
    if a.kind = 'members' and op = 'DETACH' then
      execute format('insert into roomcast.departures (user_id, room) select distinct e.member, e.room from %s and e.room is not null
                        and lower(e.member) ~ ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$''', roomcast.events_sql(here, 'DELETE', rows, null, null));
    end if;
    execute format('select count(*) from %s s', rows) into size;
  exception when others then
    why := sqlerrm;
  end;
  if rooms is not null then
    perform roomcast.enqueue_bulk(a.id, op, rooms, sizes);
  end if;
  if why is not null or size = most or cardinality(rooms) = 1000 then
    insert into roomcast.audits (relation, problem, found, note)
    values (a.relation::text, case op when 'ATTACH' then 'partition attached' else 'partition detached' end, size,
            format('%s: %s; select roomcast.send(room, …) to the others', child, coalesce(why, 'too large: not all of its rooms were told')));
  end if;
end
$$;

-- capture_truncate runs before a TRUNCATE: it is a deletion of all rows. Each room hears
-- of it once; members are cut off, and the texts are scrubbed by the sweep. The trigger of
-- a table below the attached one is silent where that one's has spoken in the same
-- statement, behind which the same function runs once more.
create or replace function roomcast.capture_truncate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  a     roomcast.attached_tables;
  told  constant text := coalesce(current_setting('roomcast.truncating', true), '');
  -- Of this statement, and nobody's who cannot read the settings: else who may truncate a
  -- partition could set it beforehand, and no member in it would be disconnected.
  this  constant text := roomcast.mark(concat('truncating ', tg_argv[0], ' ', statement_timestamp()));
  rooms text[];
  sizes bigint[];
  users text[];
  reason text;
  rows  text;
begin
  if tg_when = 'AFTER' then
    perform set_config('roomcast.truncating', replace(told, this, ''), true);
    return null;
  end if;
  select * into a from roomcast.attached_tables x where x.id = tg_argv[0]::int;
  if tg_relid <> a.relation and (strpos(told, this) > 0 or tg_relid <> all (roomcast.children_of(a.relation))) then
    return null;
  elsif tg_relid = a.relation then
    perform set_config('roomcast.truncating', told || this, true);
  end if;
  if current_setting('roomcast.capture', true) is not distinct from 'off' and roomcast.may_skip(a.id, tg_op) then
    return null;
  end if;
  rows := format('(select 1::bigint as "roomcast.n", s.* from %s %s s)', case when tg_relid <> a.relation then 'only' end, tg_relid::regclass);
  begin
    a := roomcast.present(a);
    execute format('select array_agg(c.room), array_agg(c.count) from (select e.room, count(*) as count from %s and e.room is not null group by e.room limit 1000) c',
                   roomcast.events_sql(a, 'DELETE', rows, null, null)) into rooms, sizes;
    if a.kind = 'members' then
      execute format('select array_agg(distinct e.member) from %s', roomcast.events_sql(a, 'DELETE', rows, null, null)) into users;
    end if;
  exception when others or assert_failure then
    reason := sqlerrm;
  end;
  if reason is not null then
    perform roomcast.note_unroutable(a.id, tg_op, reason);
  elsif rooms is not null then
    perform roomcast.enqueue_bulk(a.id, tg_op, rooms, sizes);
  end if;
  insert into roomcast.departures (user_id) select u from unnest(users) u where u is not null;
  insert into roomcast.scrub_queue (attached, last_id)
  select a.id, coalesce(pg_sequence_last_value('roomcast.outbox_id_seq'), 0) where a.kind = 'rows';
  return null;
end
$$;

commit;
