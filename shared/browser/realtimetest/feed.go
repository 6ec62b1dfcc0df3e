package realtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Publication is the one that names Realtime's tables in every Supabase project.
const Publication = "supabase_realtime"

// Feed carries a database's changes to a server, as Realtime does: from a temporary
// replication slot, looked at every 100 ms. What happens between the end of its
// connection and its return is lost.
type Feed struct {
	server *Server
	config *pgx.ConnConfig
	stop   context.CancelFunc
	done   sync.WaitGroup
	rows   *pgx.Conn // to ask what rows are visible
	mu     sync.Mutex
}

// ErrWAL is returned for a database that has no logical decoding: wal_level must be
// logical, which is fixed at its start.
var ErrWAL = errors.New("wal_level is not logical")

// pollEvery is Realtime's own interval.
const pollEvery = 100 * time.Millisecond

// Follow makes the publication if there is none, and feeds the server until Close.
// The URL's user must be allowed to replicate, and to become every role that a token
// can name. ctx bounds the start only.
func Follow(ctx context.Context, databaseURL string, s *Server) (*Feed, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("realtimetest: the database URL cannot be parsed") // the error would repeat the password
	}
	// pgoutput writes values as text, in the session's settings.
	config.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("realtimetest: %w", err)
	}
	if err := openSlot(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, fmt.Errorf("realtimetest: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &Feed{server: s, config: config, stop: stop}
	f.done.Go(func() { f.run(running, conn) })
	return f, nil
}

// Close ends the feed and its connections.
func (f *Feed) Close() {
	f.stop()
	f.done.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rows != nil {
		_ = f.rows.Close(context.Background())
	}
}

const slot = "roomcast_realtimetest"

func openSlot(ctx context.Context, conn *pgx.Conn) error {
	var level string
	if err := conn.QueryRow(ctx, "show wal_level").Scan(&level); err != nil {
		return err
	}
	if level != "logical" {
		return ErrWAL
	}
	_, err := conn.Exec(ctx, "create publication "+Publication)
	if pg := (*pgconn.PgError)(nil); err != nil && !(errors.As(err, &pg) && pg.Code == "42710") { // there is one
		return err
	}
	_, err = conn.Exec(ctx, "select pg_create_logical_replication_slot($1, 'pgoutput', true)", slot+fmt.Sprint(conn.PgConn().PID()))
	return err
}

// run polls until it is told to stop, with a new slot whenever the connection is lost.
func (f *Feed) run(ctx context.Context, conn *pgx.Conn) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	decoder := newDecoder(primaryKeys(ctx, conn))
	for {
		select {
		case <-ctx.Done():
			if conn != nil {
				_ = conn.Close(context.Background())
			}
			return
		case <-tick.C:
		}
		if conn == nil {
			if conn = f.reopen(ctx); conn != nil {
				decoder = newDecoder(primaryKeys(ctx, conn))
			}
			continue
		}
		if err := f.poll(ctx, conn, decoder); err != nil && ctx.Err() == nil {
			f.server.opts.Log.Warn("realtimetest: feed", "err", err)
			_ = conn.Close(ctx)
			conn = nil
		}
	}
}

// primaryKeys asks for a table's primary key: a replica identity can be more than that.
func primaryKeys(ctx context.Context, conn *pgx.Conn) func(uint32) ([]string, error) {
	return func(table uint32) (keys []string, err error) {
		err = conn.QueryRow(ctx, `select coalesce(array_agg(a.attname::text), '{}')
			from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
			where i.indrelid = $1 and i.indisprimary`, table).Scan(&keys)
		return keys, err
	}
}

func (f *Feed) reopen(ctx context.Context) *pgx.Conn {
	conn, err := pgx.ConnectConfig(ctx, f.config)
	if err != nil {
		return nil
	}
	if err := openSlot(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil
	}
	return conn
}

func (f *Feed) poll(ctx context.Context, conn *pgx.Conn, d *decoder) error {
	rows, err := conn.Query(ctx, `select data from pg_logical_slot_get_binary_changes($1, null, null,
		'proto_version', '1', 'publication_names', $2)`, slot+fmt.Sprint(conn.PgConn().PID()), Publication)
	if err != nil {
		return err
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return err
	}
	for _, m := range messages {
		c, ok, err := d.read(m)
		if err != nil {
			return err
		}
		if ok {
			f.server.Commit(c)
		}
	}
	return nil
}

// Visible is row level security, for Options.Visible: it looks for the row as the
// role and with the claims of the token, as Realtime does.
func (f *Feed) Visible(ctx context.Context, claims json.RawMessage, c Change) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	seen, err := f.visible(ctx, claims, c)
	if err != nil {
		f.server.opts.Log.Warn("realtimetest: row level security", "err", err)
		if f.rows != nil {
			_ = f.rows.Close(ctx)
		}
		f.rows = nil // a new connection next time
	}
	return seen
}

func (f *Feed) visible(ctx context.Context, claims json.RawMessage, c Change) (seen bool, err error) {
	if f.rows == nil {
		if f.rows, err = pgx.ConnectConfig(ctx, f.config); err != nil {
			return false, err
		}
	}
	var who struct{ Role string }
	if json.Unmarshal(claims, &who) != nil || who.Role == "" {
		who.Role = "anon"
	}
	tx, err := f.rows.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, tx.Rollback(ctx)) }()
	// set_config takes the role as a value: nothing of a token becomes SQL.
	if _, err = tx.Exec(ctx, `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`, who.Role, string(claims)); err != nil {
		return false, err
	}
	sql, args, err := lookup(c)
	if err != nil {
		return false, err
	}
	err = tx.QueryRow(ctx, sql, args...).Scan(&seen)
	return seen, err
}

// lookup asks for the row by its primary key.
func lookup(c Change) (sql string, args []any, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(c.Record, &fields); err != nil || len(c.Keys) == 0 {
		return "", nil, fmt.Errorf("row of %s.%s without a key", c.Schema, c.Table)
	}
	sql = "select exists (select from " + pgx.Identifier{c.Schema, c.Table}.Sanitize() + " where true"
	for _, key := range c.Keys {
		text := string(fields[key])
		_ = json.Unmarshal(fields[key], &text) // a string's value; else its JSON
		args = append(args, text)
		sql += fmt.Sprintf(" and %s::text = $%d", pgx.Identifier{key}.Sanitize(), len(args))
	}
	return sql + ")", args, nil
}
