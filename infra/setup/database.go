package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
)

// database is the owner's connection, and what was found there. The methods that
// only look take nil for a database that is not known yet.
type database struct {
	conn          *pgx.Conn
	all           []table
	kinds         []string // of the sources that are attached
	url           string   // where wake-ups go
	relayCanLogin bool
}

func open(ctx context.Context, databaseURL string) (*database, error) {
	conn, err := connect(ctx, databaseURL)
	if err != nil {
		return nil, fmt.Errorf("OWNER_DATABASE_URL: %w", err)
	}
	db := &database{conn: conn}
	if err := db.survey(ctx); err != nil {
		db.close()
		return nil, fmt.Errorf("survey: %w", err)
	}
	return db, nil
}

// connect opens a connection that works behind every pooler. Its errors name host
// and user, never the password.
func connect(ctx context.Context, databaseURL string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("cannot be parsed")
	}
	config.ConnectTimeout = 10 * time.Second
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams["application_name"] = "roomcast-setup"
	return pgx.ConnectConfig(ctx, config)
}

func (db *database) close() { _ = db.conn.Close(context.Background()) }

// findTables lists the project's own tables: those of Supabase's schemas belong to
// roles that the owner is not.
const findTables = `
	select quote_ident(n.nspname) || '.' || quote_ident(c.relname),
	       array_agg(a.attname::text order by a.attnum)
	  from pg_class c
	  join pg_namespace n on n.oid = c.relnamespace
	  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
	 where c.relkind in ('r', 'p') and not c.relispartition
	   and pg_has_role(c.relowner, 'usage')
	   and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'roomcast', 'auth', 'storage', 'realtime', 'vault', 'net', 'cron')
	 group by c.oid, 1 order by 1`

func (db *database) survey(ctx context.Context) error {
	rows, err := db.conn.Query(ctx, findTables)
	if err != nil {
		return err
	}
	db.all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t table, err error) {
		return t, row.Scan(&t.name, &t.columns)
	})
	if err != nil {
		return err
	}
	var installed bool
	err = db.conn.QueryRow(ctx, `select to_regclass('roomcast.attached_tables') is not null and to_regclass('roomcast.settings') is not null,
		coalesce((select rolcanlogin from pg_roles where rolname = 'roomcast_relay'), false)`).Scan(&installed, &db.relayCanLogin)
	if err != nil || !installed {
		return err
	}
	return db.conn.QueryRow(ctx, `select coalesce((select url from roomcast.settings), ''),
		array(select case when kind = 'rows' then name || 's' else kind end from roomcast.attached_tables where detached_at is null)`).Scan(&db.url, &db.kinds)
}

func (db *database) tables() []table {
	if db == nil {
		return nil
	}
	return db.all
}

func (db *database) attached(kind string) bool {
	if db == nil {
		return false
	}
	for _, k := range db.kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// functionURL is the address that the database already calls.
func (db *database) functionURL() string {
	if db == nil {
		return ""
	}
	return strings.TrimSuffix(db.url, webhookPath)
}

// apply does it all. Each step can be done again.
func (db *database) apply(ctx context.Context, want wanted, out io.Writer) error {
	say := func(did, what string) { fmt.Fprintf(out, "%-9s %s\n", did, what) }
	if err := (admin.Migration{URL: want.ownerURL, CA: want.secrets["DATABASE_CA"], Waiting: func(file, holders string) { say("waiting", file+" for "+holders) }}).Run(ctx); err != nil {
		return err
	}
	say("installed", "the schema roomcast")
	if t := want.messages; t.name != "" {
		if _, err := db.conn.Exec(ctx, `select roomcast.attach_messages($1, room_column => $2, columns => $3::text[])`, t.name, t.room, t.columns); err != nil {
			return fmt.Errorf("attach %s: %w", t.name, err)
		}
		say("attached", t.name+": "+strings.Join(t.columns, ", "))
	}
	if t := want.members; t.name != "" {
		if _, err := db.conn.Exec(ctx, `select roomcast.attach_members($1, room_column => $2, user_column => $3)`, t.name, t.room, t.user); err != nil {
			return fmt.Errorf("attach %s: %w", t.name, err)
		}
		say("attached", t.name+": "+t.room+", "+t.user)
	}
	if _, err := db.conn.Exec(ctx, `select roomcast.configure(url => $1, secret => $2)`, want.functionURL+webhookPath, first(want.secrets["WEBHOOK_SECRET"])); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	say("calls", want.functionURL+webhookPath)
	return db.letIn(ctx, want, say)
}
