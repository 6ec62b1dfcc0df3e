package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// table is a table of the project, as the survey found it.
type table struct {
	Name      string              // as SQL writes it, with its schema
	Columns   []column            // in their order
	IDs       []string            // the primary key
	Refs      map[string][]string // foreign keys of one column: the table and column it points to
	Keys      []foreignKey        // all foreign keys, of several columns, too
	Published bool                // Supabase Realtime listens to it
	nulls     []string            // columns that are null in every row, though there are rows
	people    map[string]person   // columns that point at users
	addresses []string            // columns of users that hold e-mail addresses
}

// foreignKey is one that points to another table.
type foreignKey struct {
	Columns []string
	Table   string
	To      []string // its columns, in the same order
}

type column struct {
	Name   string
	Type   string   // format_type; a domain's is that of its values
	Labels []string // of an enum
}

func (t table) columns() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// base is the name without its schema and quotes, as most would write it.
func (t table) base() string {
	_, name, found := strings.Cut(t.Name, ".")
	if !found {
		name = t.Name
	}
	return plain(strings.Trim(name, `"`))
}

// findTables lists the project's own tables: those of Supabase's schemas belong to
// roles that the owner is not.
const findTables = `
	select quote_ident(n.nspname) || '.' || quote_ident(c.relname),
	       (select jsonb_agg(jsonb_build_object('Name', a.attname, 'Type', format_type(v.oid, v.typmod) || v.suffix,
	                                             'Labels', (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = v.oid)) order by a.attnum)
	          from pg_attribute a cross join lateral (
	            with recursive inside (oid, typmod, suffix, n) as (
	              select a.atttypid, a.atttypmod, '', 0
	              union all
	              select case t.typtype when 'd' then t.typbasetype else t.typelem end, case t.typtype when 'd' then t.typtypmod else i.typmod end,
	                     case t.typtype when 'd' then i.suffix else '[]' end, i.n + 1
	                from inside i join pg_type t on t.oid = i.oid where t.typtype = 'd' or t.typcategory = 'A' and t.typelem <> 0)
	            select i.oid, i.typmod, i.suffix from inside i order by i.n desc limit 1) v
	         where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)::text,
	       coalesce((select array_agg(a.attname::text order by array_position(i.indkey::int2[], a.attnum))
	          from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
	         where i.indrelid = c.oid and i.indisprimary), '{}'),
	       coalesce((select jsonb_object_agg(a.attname, array[quote_ident(fn.nspname) || '.' || quote_ident(f.relname), b.attname])
	          from pg_constraint k
	          join pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]
	          join pg_class f on f.oid = k.confrelid join pg_namespace fn on fn.oid = f.relnamespace
	          join pg_attribute b on b.attrelid = f.oid and b.attnum = k.confkey[1]
	         where k.conrelid = c.oid and k.contype = 'f' and cardinality(k.conkey) = 1), '{}')::text,
	       coalesce((select jsonb_agg(jsonb_build_object('Columns', k.here, 'Table', k.referenced, 'To', k.there) order by k.here)
	          from (select quote_ident(fn.nspname) || '.' || quote_ident(f.relname) as referenced,
	                       (select jsonb_agg(a.attname order by x.i) from unnest(k.conkey) with ordinality as x (n, i) join pg_attribute a on a.attrelid = c.oid and a.attnum = x.n) as here,
	                       (select jsonb_agg(a.attname order by x.i) from unnest(k.confkey) with ordinality as x (n, i) join pg_attribute a on a.attrelid = f.oid and a.attnum = x.n) as there
	                  from pg_constraint k join pg_class f on f.oid = k.confrelid join pg_namespace fn on fn.oid = f.relnamespace
	                 where k.conrelid = c.oid and k.contype = 'f') k), '[]')::text,
	       exists (select from pg_publication_tables p where p.pubname = 'supabase_realtime' and p.schemaname = n.nspname and p.tablename = c.relname)
	  from pg_class c
	  join pg_namespace n on n.oid = c.relnamespace
	 where c.relkind in ('r', 'p') and not c.relispartition
	   and pg_has_role(c.relowner, 'usage')
	   and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'roomcast', 'auth', 'storage', 'realtime', 'vault', 'net', 'cron', 'supabase_functions')
	 order by 1`

func (db *database) survey(ctx context.Context) error {
	rows, err := db.conn.Query(ctx, findTables)
	if err != nil {
		return err
	}
	db.all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t table, err error) {
		var columns, refs, keys string
		if err := row.Scan(&t.Name, &columns, &t.IDs, &refs, &keys, &t.Published); err != nil {
			return t, err
		}
		return t, errors.Join(json.Unmarshal([]byte(columns), &t.Columns), json.Unmarshal([]byte(refs), &t.Refs), json.Unmarshal([]byte(keys), &t.Keys))
	})
	if err != nil {
		return err
	}
	for i := range db.all {
		if err := errors.Join(db.findNulls(ctx, &db.all[i]), db.findAddresses(ctx, &db.all[i])); err != nil {
			return err
		}
	}
	findPeople(db.all)
	return db.readInstalled(ctx)
}

// findNulls finds the columns that could name a room and never do: such as a thread_id
// that nobody fills.
func (db *database) findNulls(ctx context.Context, t *table) error {
	for _, name := range t.columns() {
		if !called(roomColumns(), name) || slices.Contains(t.IDs, name) {
			continue
		}
		never, err := db.holds(ctx, fmt.Sprintf(`select exists (select from %s) and not exists (select from %s where %s is not null)`,
			t.Name, t.Name, pgx.Identifier{name}.Sanitize()))
		if err != nil {
			return err
		}
		if never {
			t.nulls = append(t.nulls, name)
		}
	}
	return nil
}

// findAddresses finds the lists of users that name them by e-mail address.
func (db *database) findAddresses(ctx context.Context, t *table) error {
	for _, c := range t.Columns {
		if !called(arrayColumns(), c.Name) || !slices.Contains([]string{"text[]", "character varying[]", "jsonb"}, c.Type) {
			continue
		}
		are, err := db.holds(ctx, fmt.Sprintf(`select exists (select from %s where %s::text like '%%@%%')`, t.Name, pgx.Identifier{c.Name}.Sanitize()))
		if err != nil {
			return err
		}
		if are {
			t.addresses = append(t.addresses, c.Name)
		}
	}
	return nil
}

// holds asks a question of a table's rows. A large table is read for a second at most: what
// it does not tell then, or for row level security, is taken for no.
func (db *database) holds(ctx context.Context, query string) (yes bool, err error) {
	tx, err := db.conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, `set local statement_timeout = '1s'`); err != nil {
		return false, err
	}
	if err := tx.QueryRow(ctx, query).Scan(&yes); err != nil {
		return false, nil
	}
	return yes, nil
}

func (db *database) readInstalled(ctx context.Context) error {
	var installed bool
	err := db.conn.QueryRow(ctx, `select to_regclass('roomcast.attached_tables') is not null and to_regclass('roomcast.settings') is not null,
		coalesce((select rolcanlogin from pg_roles where rolname = 'roomcast_relay'), false)`).Scan(&installed, &db.relayCanLogin)
	if err != nil || !installed {
		return err
	}
	return db.conn.QueryRow(ctx, `select coalesce((select url from roomcast.settings), ''),
		array(select quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' ' || case when a.kind = 'rows' then a.name else a.kind end
		        from roomcast.attached_tables a join pg_class c on c.oid = a.relation join pg_namespace n on n.oid = c.relnamespace
		       where a.detached_at is null)`).Scan(&db.url, &db.attachments)
}

func (db *database) tables() []table {
	if db == nil {
		return nil
	}
	return db.all
}

// attached reports whether a table is attached as message, members or any other name.
func (db *database) attached(as string) bool {
	return db != nil && slices.ContainsFunc(db.attachments, func(a string) bool { return strings.HasSuffix(a, " "+as) })
}
