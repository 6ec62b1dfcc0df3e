-- What a column's type is once domains and arrays are taken away, and how its values compare.
begin;
select pg_advisory_xact_lock(hashtextextended('roomcast.migrate', 0));
set local lock_timeout = '3s';

create or replace function roomcast.column_type(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format_type(a.atttypid, a.atttypmod) from pg_attribute a
   where a.attrelid = column_type.relation and a.attname = column_type.name and a.attnum > 0 and not a.attisdropped
$$;

-- inner_type is a type without its domains, one over another, and without its array, which
-- may be of a domain or under one; and the length that remains.
create or replace function roomcast.inner_type(type oid, length int default -1, out type_oid oid, out typmod int)
language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive inner_one (oid, typmod, n) as (
    select inner_type.type, inner_type.length, 0
    union all
    select case t.typtype when 'd' then t.typbasetype else t.typelem end, case t.typtype when 'd' then t.typtypmod else i.typmod end, i.n + 1
      from inner_one i join pg_type t on t.oid = i.oid
     where t.typtype = 'd' or t.typcategory = 'A' and t.typelem <> 0
  )
  select i.oid, i.typmod from inner_one i order by i.n desc limit 1
$$;

-- value_type is the type of a column's values, of the elements if it is an array: what a text
-- is cast to that is compared with them. Without a length, which would cut the text.
create or replace function roomcast.value_type(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format_type(t.type_oid, -1)
    from pg_attribute a cross join lateral roomcast.inner_type(a.atttypid) t
   where a.attrelid = value_type.relation and a.attname = value_type.name and a.attnum > 0 and not a.attisdropped
$$;

-- value_sql is a column as one compares it: a domain over an enum is equal to nothing.
create or replace function roomcast.value_sql(relation regclass, alias text, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('%s.%I', value_sql.alias, value_sql.name) || coalesce((
    select '::' || format_type((roomcast.inner_type(a.atttypid)).type_oid, -1)
      from pg_attribute a join pg_type t on t.oid = a.atttypid and t.typtype = 'd' and t.typcategory <> 'A'
     where a.attrelid = value_sql.relation and a.attname = value_sql.name and a.attnum > 0 and not a.attisdropped), '')
$$;

-- equals_sql is the operator by which values of a column are equal: an extension's types have
-- theirs in another schema than those that we look into.
create or replace function roomcast.equals_sql(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce((
    select format('operator(%I.%s)', n.nspname, o.oprname)
      from pg_attribute a cross join lateral roomcast.inner_type(a.atttypid) t
      join pg_opclass c on c.opcintype = t.type_oid and c.opcdefault
      join pg_am m on m.oid = c.opcmethod
      join pg_amop p on p.amopfamily = c.opcfamily and p.amoplefttype = t.type_oid and p.amoprighttype = t.type_oid
                    and (m.amname, p.amopstrategy) in (('btree', 3), ('hash', 1))
      join pg_operator o on o.oid = p.amopopr
      join pg_namespace n on n.oid = o.oprnamespace
     where a.attrelid = equals_sql.relation and a.attname = equals_sql.name and a.attnum > 0 and not a.attisdropped and n.nspname <> 'pg_catalog'
     order by m.amname limit 1), '=')
$$;

-- type_without_uuids is the type of a column that cannot hold the uuids that tokens carry.
-- Null: it can, or is not there.
create or replace function roomcast.type_without_uuids(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format_type(a.atttypid, a.atttypmod)
    from pg_attribute a cross join lateral roomcast.inner_type(a.atttypid, a.atttypmod) i join pg_type t on t.oid = i.type_oid
   where a.attrelid = type_without_uuids.relation and a.attname = type_without_uuids.name and a.attnum > 0 and not a.attisdropped
     and t.oid <> 'uuid'::regtype and (t.typcategory <> 'S' or i.typmod between 0 and 36 + 3)   -- a length has 4 added
$$;

commit;
