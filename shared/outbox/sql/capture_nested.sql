-- Statements within statements: a trigger of the chat that writes to the attached table
-- again. It runs before our trigger, which Postgres calls at the statement's end. So the
-- inner statement's rows are captured first, and those of the outer one are then out of date.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- nests: has the table, or one below it, an AFTER trigger of the chat's that may do so?
create or replace function roomcast.nests(relation regclass) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from pg_trigger t
     where t.tgrelid in (select unnest(nests.relation || roomcast.children_of(nests.relation)))
       and not t.tgisinternal and t.tgenabled <> 'D' and t.tgname !~ '^roomcast_'
       and t.tgtype & 66 = 0 and t.tgtype & 20 <> 0)   -- AFTER; INSERT or UPDATE
$$;

-- is_current_sql: does the table still have row r in this version? If not, a statement that
-- was captured already has changed it.
create or replace function roomcast.is_current_sql(a roomcast.attached_tables, alias text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('exists (select from %s "roomcast.c" where %s and (select "roomcast.now" from (select %s) "roomcast.now") *= (select "roomcast.then" from (select %s) "roomcast.then"))',
    a.relation, (select string_agg(format('"roomcast.c".%1$I %3$s %2$s.%1$I', id, alias, roomcast.equals_sql(a.relation, id)), ' and ')
                   from (select unnest(a.ids) union   -- and of a partitioned table its key, to look into one part
                         select k.attname::text from pg_partitioned_table p join pg_attribute k on k.attrelid = p.partrelid and k.attnum = any (p.partattrs::int2[]) where p.partrelid = a.relation) as i (id)),
    roomcast.bare_columns_sql('"roomcast.c"', a.watched), roomcast.bare_columns_sql(alias, a.watched))
$$;

-- around_nested puts a body into a block that first checks whether this transaction has
-- written events of this attachment before; only then are other checks needed. A
-- serializable transaction does not read the outbox, or it could conflict with others
-- because of us.
create or replace function roomcast.around_nested(a roomcast.attached_tables, op text, short text, body text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when a.kind <> 'rows' or op = 'DELETE' or not roomcast.nests(a.relation) then short || body
    else format($body$
  <<around>>
  declare
    nested boolean := current_setting('transaction_isolation') <> 'serializable'
      and exists (select from roomcast.outbox o where o.xid = pg_current_xact_id_if_assigned() and o.attached = %1$s);
    keys   bigint[];
  begin
  if not around.nested then
    %2$s
  end if;
  if around.nested then
    begin
      %3$s
    exception when others or assert_failure then
      nested := false;
    end;
    %4$s
  end if;
  %5$s
  end;$body$, a.id, coalesce(nullif(short, ''), 'null;'),
    case when a.row_wise then format('nested := not %s; keys := array[hashtextextended(%s, %s)];', roomcast.is_current_sql(a, 'new'), roomcast.key_sql(a, 'new', null), a.id)
         when op = 'INSERT' then format('keys := array(select hashtextextended(%s, %s) from new_rows r where not %s);', roomcast.key_sql(a, 'r', null), a.id, roomcast.is_current_sql(a, 'r'))
         else 'null;' end,
    case when op = 'INSERT' then format('if around.nested and cardinality(keys) > 0 then perform roomcast.promote_updates(%s, keys); end if;', a.id) else '' end
      || case when a.row_wise then 'if around.nested then return null; end if;' else '' end,
    body) end
$$;

-- unless_stale_sql is the condition under which a statement's event is captured.
create or replace function roomcast.unless_stale_sql(a roomcast.attached_tables, op text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when a.kind <> 'rows' or op = 'DELETE' or a.row_wise or not roomcast.nests(a.relation) then ''
              when op = 'INSERT' then format(' and (not around.nested or %s)', roomcast.is_current_sql(a, 'r'))
              else format(' and (not around.nested or e.op = ''DELETE'' or %s)', roomcast.is_current_sql(a, 'w')) end
$$;

-- promote_updates makes the first event of a new row an INSERT, as it is for listeners.
create or replace function roomcast.promote_updates(attached int, keys bigint[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off set jit = off as $$
  update roomcast.outbox o set op = 'INSERT', old = null
   where o.id in (
     select min(b.id)
       from (select x.id, x.op, x.key_hash, x.room, max(x.id) filter (where x.op = 'DELETE') over (partition by x.key_hash, x.room) as gone
               from roomcast.outbox x
              where x.xid = pg_current_xact_id() and x.attached = promote_updates.attached and x.key_hash = any (promote_updates.keys) and x.op <> 'BULK') b
      where b.id > coalesce(b.gone, 0) group by b.key_hash, b.room having bool_and(b.op = 'UPDATE'))
$$;

commit;
