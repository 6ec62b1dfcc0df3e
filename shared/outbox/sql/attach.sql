-- Which tables are relayed, and how: attach, detach.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

-- plain_name is a column's name as most write it: leftAt, as Prisma has it, is left_at.
create or replace function roomcast.plain_name(name text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select lower(regexp_replace(plain_name.name, '([a-z0-9])([A-Z])', E'\\1_\\2', 'g'))
$$;

-- table_named finds a table by its name; without a schema it is one of public's.
create or replace function roomcast.table_named(name text) returns regclass
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  tbl constant regclass := to_regclass(case when cardinality(parse_ident(table_named.name)) = 1 then 'public.' || table_named.name else table_named.name end);
begin
  if tbl is null then
    raise exception 'table_name: there is no table %', table_named.name using errcode = 'undefined_table';
  end if;
  return tbl;
end
$$;

-- need_owner refuses every role but the one that Roomcast belongs to: what another role
-- makes, this one could not replace.
create or replace function roomcast.need_owner() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  owner constant name := (select pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname = 'roomcast');
begin
  if current_user <> owner then
    raise exception 'roomcast belongs to the role %, and this is %', owner, current_user
      using errcode = 'insufficient_privilege', hint = format('set role %I; then do it again.', owner);
  end if;
end
$$;

-- need_table refuses what cannot be captured, and says what can. It tells whether rows of
-- this table are written under another table's name, too.
create or replace function roomcast.need_table(tbl regclass) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  c      pg_class;
  schema name;
begin
  select * into c from pg_class k where k.oid = tbl;
  schema := (select n.nspname from pg_namespace n where n.oid = c.relnamespace);
  if schema in ('roomcast', 'pg_catalog', 'information_schema', 'pg_toast') then
    raise exception 'table_name: % is no table of a chat', tbl using errcode = 'wrong_object_type';
  elsif c.relkind not in ('r', 'p') then
    raise exception 'table_name: % is %, which has no triggers that see its changes', tbl,
      case c.relkind when 'v' then 'a view' when 'm' then 'a materialized view' when 'f' then 'a foreign table' else 'not a table' end
      using errcode = 'wrong_object_type', hint = 'Attach the table behind it.';
  elsif c.relpersistence = 't' then
    raise exception 'table_name: % is temporary', tbl using errcode = 'wrong_object_type';
  end if;
  return c.relkind = 'p' or exists (select from pg_inherits i where i.inhrelid = tbl);
end
$$;

-- need_columns refuses columns that are not there, or of which a trigger sees nothing.
create or replace function roomcast.need_columns(tbl regclass, field text, columns text[]) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  col text;
begin
  foreach col in array coalesce(need_columns.columns, '{}') loop
    if roomcast.column_type(tbl, col) is null then
      raise exception '%: % has no column %', field, tbl, col using errcode = 'undefined_column';
    elsif exists (select from pg_attribute a where a.attrelid = tbl and a.attname = col and a.attgenerated = 'v') then
      raise exception '%: % of % is a VIRTUAL generated column, of which triggers see nothing', field, col, tbl
        using errcode = 'invalid_column_definition', hint = 'Make it a STORED one, or name the expression itself.';
    end if;
  end loop;
end
$$;

-- default_ids are the columns of the primary key. In a partitioned table the key holds the
-- partition's columns, too; a row that moves to another partition is still the same where
-- the others are unique by themselves.
create or replace function roomcast.default_ids(tbl regclass) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  with key as (
    select a.attname::text as name, array_position(i.indkey::int2[], a.attnum) as position,
           a.attnum = any (coalesce(p.partattrs::int2[], '{}')) as parts,
           a.attidentity <> '' or coalesce(pg_get_expr(d.adbin, d.adrelid) ~ E'nextval\\(|uuid', false) as is_unique
      from pg_index i
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
      left join pg_partitioned_table p on p.partrelid = i.indrelid
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where i.indrelid = tbl and i.indisprimary
  )
  select case when bool_or(parts) and bool_or(is_unique and not parts)
              then array_agg(name order by position) filter (where not parts) else array_agg(name order by position) end
    from key
$$;

-- inspect finds out what an SQL text over the row r is: a column, one value, an array or a
-- query; and which columns of the table it depends on. Nothing is evaluated.
create or replace function roomcast.inspect(tbl regclass, field text, sql text,
  out shape text, out column_name name, out uses text[], out type oid)
language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
declare
  is_query constant boolean := sql ~* E'^\\s*(select|with)\\M';
begin
  if sql ~ ';' then
    raise exception '%: must be one SQL expression, without a semicolon', field using errcode = 'syntax_error';
  end if;
  begin
    execute format(E'create view roomcast.inspected as select q.value from only %s r cross join lateral (%s\n) as q (value)',
                   tbl, case when is_query then sql else 'select ' || sql end);
  exception when others then
    raise exception '%: %', field, sqlerrm using errcode = sqlstate,
      hint = 'SQL over the row r, as r.room_id; tables and functions of your own with their schema, as public.messages.';
  end;
  type := (select a.atttypid from pg_attribute a where a.attrelid = to_regclass('roomcast.inspected') and a.attname = 'value');
  if exists (select from pg_attribute a join pg_collation c on c.oid = a.attcollation
              where a.attrelid = to_regclass('roomcast.inspected') and a.attname = 'value' and not c.collisdeterministic) then
    raise exception '%: has a nondeterministic collation, so one room would have many spellings', field
      using errcode = 'collation_mismatch', hint = 'Name one spelling, as lower(r.room::text) collate "C".';
  end if;
  uses := array(
    select distinct a.attname::text
      from pg_rewrite w
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid = tbl
      join pg_attribute a on a.attrelid = tbl and a.attnum > 0 and not a.attisdropped
       and (a.attnum = d.refobjsubid or sql ~ E'(?<![."])\\mr\\M(?!\\s*\\.)')
     where w.ev_class = to_regclass('roomcast.inspected'));
  drop view roomcast.inspected;
  perform roomcast.need_columns(tbl, field, uses);
  shape := case when is_query then 'query' when (select t.typcategory from pg_type t where t.oid = type) = 'A' then 'array' else 'one' end;
  if shape = 'one' and sql ~ E'^\\s*(r\\s*\\.\\s*)?("([^"]|"")+"|\\w+)\\s*$' and cardinality(uses) = 1 then
    column_name := uses[1];
  end if;
end
$$;

-- attach relays a table under a name: its events are new-NAME, NAME-updated and
-- NAME-deleted (user-joined and so on for 'member').
--   room     SQL over the row r for the room: a column, an expression, a query, a constant;
--            text, or an array or several rows for several rooms
--   users    the same for users, who get it in their personal stream
--   columns  those that may leave the database. Null: all.
--   ids      those that identify a row, all that a deletion carries. Null: the primary key.
--   old      those whose former values come along, as roomcast.old
-- Attaching again under the same name changes the choice.
create or replace function roomcast.attach(
  table_name text, name text, room text default null, users text default null,
  columns text[] default null, ids text[] default null, old text[] default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
begin
  if attach.name in ('member', 'user', 'online', 'offline') then
    raise exception 'name: % is for attach_members', attach.name using errcode = 'reserved_name';
  end if;
  if (room is null) = (users is null) then
    raise exception 'room, users: name one of the two' using errcode = 'invalid_parameter_value';
  end if;
  perform roomcast.attach_as('rows', table_name, attach.name, room, users, null, null, columns, ids, old);
end
$$;

-- attach_messages relays a table of chat messages: attach under the name 'message'.
create or replace function roomcast.attach_messages(
  table_name text, room_column text default 'room_id', columns text[] default null, ids text[] default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
begin
  perform roomcast.need_table(roomcast.table_named(table_name));
  perform roomcast.need_columns(roomcast.table_named(table_name), 'room_column', array[room_column]);
  perform roomcast.attach_as('rows', table_name, 'message', format('r.%I', room_column), null, null, null, columns, ids, null);
end
$$;

-- detach stops relaying a table, or one name of it. What it has already put into the
-- outbox is still sent.
create or replace function roomcast.detach(table_name text, name text default null) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  tbl constant regclass := roomcast.table_named(table_name);
  a   roomcast.attached_tables;
begin
  perform roomcast.need_owner();
  for a in
    update roomcast.attached_tables t set detached_at = now(), known_as = ''   -- it is not missed
     where t.relation = tbl and t.detached_at is null and (detach.name is null or t.name = detach.name)
    returning t.*
  loop
    perform roomcast.drop_triggers(a);
  end loop;
  if a.id is null then
    raise notice 'roomcast: % is not attached%', tbl, coalesce(' as ' || detach.name, '');
  end if;
  perform roomcast.write_is_member();
end
$$;

commit;
