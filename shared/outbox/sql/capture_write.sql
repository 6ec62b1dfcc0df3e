-- Writing one attachment's trigger functions: roomcast.capture_N_insert() and so on, N
-- being its id. Names in them are looked up in pg_catalog only.
--
-- The rule for all of them: code that may fail (conversion, look-ups, columns that no longer
-- exist) is in a block that writes nothing, so that the block takes no transaction id; code
-- that writes is outside of it. When the block fails, capture_row does the same row by row.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- settings_sql pins the settings on which the text of an attachment's values depends. In JSON
-- times have one form, in the session's zone; in a key or a room they have many.
create or replace function roomcast.settings_sql(a roomcast.attached_tables) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when bool_or(t.atttypid <> all (roomcast.plain_types())
                           and not (t.atttypid = any (array['timestamptz', 'timestamp', 'date']::regtype[]::oid[]) and t.attname <> all (a.ids || a.uses)))
              then ' set timezone = ''UTC'' set datestyle = ''ISO'' set intervalstyle = ''postgres'' set bytea_output = ''hex'' set extra_float_digits = 1' || case when bool_or(i.typtype = 'c' or i.oid = 'money'::regtype) then ' set lc_monetary = ''C''' else '' end
              when bool_or(t.atttypid = 'timestamptz'::regtype) then ' set timezone = ''UTC'''
              else '' end
      || case when concat(a.room, a.users, a.active) ~ E'\\\\' then ' set standard_conforming_strings = on' else '' end   -- or a session could have it read otherwise
    from pg_attribute t join pg_type i on i.oid = (roomcast.inner_type(t.atttypid)).type_oid
   where t.attrelid = a.relation and t.attnum > 0 and not t.attisdropped and t.attname = any (a.columns || a.ids || a.old || a.uses)
$$;

-- function_sql wraps a body. The settings make values turn into the same bytes whichever
-- session writes. Each costs a microsecond per call, so only those are set that a column of
-- the table needs. JIT is off, since it takes seconds for a statement of many rows. An
-- UPDATE's rows are paired by a merge join, which keeps their order.
create or replace function roomcast.function_sql(a roomcast.attached_tables, suffix text, declarations text, body text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format(E'create or replace function roomcast.capture_%s_%s() returns trigger\n'
                'language plpgsql security definer set search_path = pg_catalog, pg_temp%s as %L',
                a.id, suffix,
                roomcast.settings_sql(a) || ' set jit = off' || case when suffix = 'update' then ' set enable_hashjoin = off' else '' end,
                format(E'#variable_conflict use_column\n<<here>>\ndeclare\n%s\nbegin\n%s\nend\n', declarations, body))
$$;

-- capture_of_statement_sql: all rows of a statement, in chunks of up to 1,000 events or
-- 1 MB. crowded are the rooms that get one event in place of many.
create or replace function roomcast.capture_of_statement_sql(a roomcast.attached_tables, op text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  old_rows constant text := '(select row_number() over () as "roomcast.n", s.* from old_rows s)';
  new_rows constant text := '(select row_number() over () as "roomcast.n", s.* from new_rows s)';
begin
  return format($body$
  <<many>>
  declare
    taken   roomcast.captured[];
    one     roomcast.captured;
    flow    refcursor;
    crowded text[];
    counts  bigint[];
    more    boolean := true;
    start   bigint := 1;
    size    bigint;
    faults  int := 0;
    begun   timestamptz;
  begin
  if current_setting('roomcast.capture', true) is not distinct from 'off' and roomcast.may_skip(%1$s, tg_op) then
    return null;
  end if;
  begin
    if exists (select from %2$s offset (select bulk from roomcast.settings))%6$s then
      select array_agg(c.room) filter (where c.count > s.bulk), array_agg(c.count) filter (where c.count > s.bulk), coalesce(sum(c.count), 0) > 0
        into crowded, counts, more
        from (select e.room, count(*) as count from %3$s group by e.room) c, roomcast.settings s;
    end if;
  exception when others or assert_failure then
    more := true;   -- each row will tell
  end;
  while more loop
    begin
      if flow is null then
        open flow for %4$s;
      end if;
      taken := '{}';
      size := 0;
      loop
        if one.n is null then
          fetch flow into one;
          more := found;
        end if;
        exit when not more or (size > 1000000 and one.n > start);
        taken := array_append(taken, one);
        start := one.n;
        size := size + 1000 + coalesce(octet_length(one.record), 0);
        one := null;
      end loop;
    exception when others or assert_failure then   -- behind row start, or in the midst of its events
      flow := null;
      one := null;
      faults := faults + 1;
      taken := array(select t from unnest(many.taken) t where t.n < many.start);
    end;
    perform roomcast.enqueue(%1$s, %5$L, taken, crowded, tg_op = 'DELETE');
    if flow is null then
      begun := coalesce(begun, clock_timestamp());
      execute roomcast.rows_sql(%1$s, tg_relid, tg_op) into size using start, case when faults < 50 then 100 end;
      start := start + 100;
      more := faults < 50 and size = 100;
    end if;
  end loop;
  if begun is not null then
    perform roomcast.collapse(%1$s, tg_op, begun, crowded);
  end if;
  if crowded is not null then
    perform roomcast.enqueue_bulk(%1$s, tg_op, crowded, counts);
  end if;
  return null;
  end;$body$,
    a.id,
    case op when 'INSERT' then 'new_rows' else 'old_rows' end,
    roomcast.events_sql(a, op, old_rows, new_rows, 'full join'),
    roomcast.captured_sql(a, op, old_rows, new_rows, 'full join',
      format('%s."roomcast.n" >= many.start', case op when 'UPDATE' then 'w' else 'r' end)
      || case when a.kind = 'members' or op = 'DELETE' then ''   -- each is needed: to be told in person, to be scrubbed
              else ' and (many.crowded is null or e.room is null or e.room <> all (many.crowded)' || case op when 'UPDATE' then ' or e.op = ''DELETE'')' else ')' end end
      || roomcast.unless_stale_sql(a, op)),
    a.kind,
    case when a.kind = 'members' and a.shape = 'array' then (   -- one row is as many members
      select string_agg(format(' or exists (select from %s r where cardinality(r.%I) > (select bulk from roomcast.settings))', side, a.user_column), '')
        from unnest(case op when 'INSERT' then '{new_rows}' when 'DELETE' then '{old_rows}' else '{old_rows,new_rows}'::text[] end) as s (side)) else '' end);
end
$$;

-- capture_of_row_sql: one row, for tables whose rows are written under another table's
-- name: partitions and inherited tables. There the triggers are row triggers.
--
-- For row triggers, an UPDATE that moves a row to another partition is a DELETE and an INSERT.
-- When the first of them runs, the row is already in its new partition: that trigger captures
-- the UPDATE, and notes that the INSERT needs no event.
create or replace function roomcast.capture_of_row_sql(a roomcast.attached_tables, op text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  old_row constant text := '(select 1::bigint as "roomcast.n", old.*)';
  new_row constant text := '(select 1::bigint as "roomcast.n", new.*)';
  moves   constant boolean := op <> 'UPDATE' and roomcast.rows_move(a);
  elsewhere text := format('%s p where %s', a.relation, (select string_agg(format('p.%1$I %2$s old.%1$I', id, roomcast.equals_sql(a.relation, id)), ' and ') from unnest(a.ids) as i (id)));
begin
  return format($body$
  if current_setting('roomcast.capture', true) is not distinct from 'off' and roomcast.may_skip(%1$s, tg_op) then
    return null;
  end if;
  begin
    %5$s
    taken := array(select row(c.*)::roomcast.captured from (%2$s) c);
    %6$s
  exception when others or assert_failure then
    taken := null;
  end;
  if taken is null then
    perform roomcast.capture_row(%1$s, tg_op, %3$s);
  else
    perform roomcast.enqueue(%1$s, %4$L, taken, null, tg_op = 'DELETE' and moved is null);
  end if;
  if moved is not null then
    perform roomcast.note_moved(moved);
  end if;
  return null;$body$,
    a.id,
    roomcast.captured_sql(a, op, old_row, new_row, 'join'),
    case op when 'INSERT' then 'new, null' when 'DELETE' then 'null, old' else 'new, old' end,
    a.kind,
    case when not moves then ''
         when op = 'INSERT' then format('if roomcast.was_moved(hashtextextended(%2$s, %1$s)) then return null; end if;', a.id, roomcast.key_sql(a, 'new', null))
         else format($sql$if roomcast.is_updating() then   -- a query of its own: it opens all partitions
      elsewhere := exists (select from %1$s);
    end if;
    if elsewhere then
      taken := array(select row(c.*)::roomcast.captured from (%2$s) c);
      moved := hashtextextended(%4$s, %3$s);
    else$sql$, elsewhere,
           roomcast.captured_sql(a, 'UPDATE', old_row, format('(select 1::bigint as "roomcast.n", p.* from %s limit 1)', elsewhere), 'join'),
           a.id, roomcast.key_sql(a, 'old', null)) end,
    case when moves and op = 'DELETE' then 'end if;' else '' end);
end
$$;

-- write_capture writes the functions of one attachment. It touches no table of the chat.
create or replace function roomcast.write_capture(a roomcast.attached_tables) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  op text;
begin
  a := roomcast.present(a);
  foreach op in array array['INSERT', 'UPDATE', 'DELETE'] loop
    execute roomcast.function_sql(a, lower(op),
      case when a.row_wise then E'  taken roomcast.captured[];\n  moved bigint;\n  elsewhere boolean := false;' else '' end,
      roomcast.around_nested(a, op,
        case when a.row_wise then '' else coalesce(case op when 'INSERT' then roomcast.one_insert_sql(a) when 'UPDATE' then roomcast.one_update_sql(a) end, '') end,
        case when a.row_wise then roomcast.capture_of_row_sql(a, op) else roomcast.capture_of_statement_sql(a, op) end));
    execute format('revoke all on function roomcast.capture_%s_%s() from public', a.id, lower(op));
  end loop;
  update roomcast.attached_tables t set fingerprint = roomcast.fingerprint(t.relation) where t.id = a.id;
end
$$;

commit;
