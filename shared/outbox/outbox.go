// Package outbox owns the schema "roomcast" in the chat's Postgres: the rows the
// triggers write in the user's own transaction, and how a relay numbers them,
// leases them, and says they are done.
//
// It promises: a row that was committed is returned by [DB.Claim] until an
// [DB.Ack] passes over it, whatever crashes meanwhile; per room, rows come in the
// order of their seq, which has no gaps and is the same in every repeat; two
// relays that both believe they hold a room cannot both move it on. It does not
// promise that a row is returned only once.
//
// All of it is SQL, in sql/: tables in numbered migrations, functions by subject. The Go
// here calls those functions and holds no state but a pool of connections. It keeps to what
// Supavisor's transaction mode allows: no session state, no LISTEN, no named prepared
// statements.
package outbox

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is a relay's access to the outbox. It is safe for concurrent use.
type DB struct {
	pool *pgxpool.Pool
	app  string
	pin  atomic.Bool // transactions are begun as [pinned]
}

// Option changes how [Open] connects.
type Option func(*options)

type options struct{ ca, app string }

// WithCA has the server verified in full, by this certificate authority (PEM).
func WithCA(pem string) Option { return func(o *options) { o.ca = pem } }

// WithApp names the Pusher app that claims. The first one to claim has the outbox; another
// is refused with [ErrOtherApp].
func WithApp(id string) Option { return func(o *options) { o.app = id } }

// Open reads a database URL and returns a DB that connects when first used. The
// error names what is wrong with the URL and never repeats its password.
// maxConns bounds the pool; Supabase's smaller plans allow 60 in all.
func Open(databaseURL string, maxConns int32, opts ...Option) (*DB, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	config, err := ParseURL(databaseURL, o.ca)
	if err != nil {
		return nil, err
	}
	config.MaxConns = maxConns
	config.MaxConnIdleTime = time.Minute
	config.ConnConfig.ConnectTimeout = 5 * time.Second
	// What poolers let through. A database's own DateStyle would be read wrongly.
	config.ConnConfig.RuntimeParams["application_name"] = "roomcast"
	config.ConnConfig.RuntimeParams["datestyle"] = "ISO"
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	// Extended protocol without named statements: the only mode that is both fast
	// enough and right behind every pooler (FACTS.md, Supavisor).
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // acquire does
	db := &DB{app: o.app}
	config.AfterConnect = db.settle
	if db.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return db, nil
}

//go:embed sql/*.sql
var files embed.FS

// SQL holds the files of the schema, in sql/: numbered tables, then functions. Package
// admin applies them.
func SQL() fs.FS { return files }

// Close waits for the queries under way and ends every connection.
func (db *DB) Close() { db.pool.Close() }

// Host is the host and the port that the URL names first.
func (db *DB) Host() (string, uint16) {
	config := db.pool.Config().ConnConfig
	return config.Host, config.Port
}

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer release(conn)
	return conn.Ping(ctx)
}

// StartAwake is a relay's first call after start or sleep. It takes the awake lease for
// this long, during which writers request no wake-up, and notices a restored database. A
// place, if not empty, is what no other living relay has: rooms leased to a name that ends
// in @place are a dead one's, and are free at once.
func (db *DB) StartAwake(ctx context.Context, lease time.Duration, place string) error {
	sql, args := `select roomcast.start_awake($1::interval, nullif($2, ''))`, []any{lease, db.app}
	if place != "" {
		sql, args = sql+`, roomcast.release_leases($3)`, append(args, place)
	}
	return db.seeing(func() error { return db.Exec(ctx, "start awake", sql, args...) })
}

// StayAwake moves the awake lease ahead of the database's clock.
func (db *DB) StayAwake(ctx context.Context, lease time.Duration) error {
	return db.Exec(ctx, "stay awake", `select roomcast.stay_awake($1::interval)`, lease)
}

// AssignSeqs numbers the rows that have no seq yet, as a claim does before it reads. A
// relay that may not publish calls it, so that pages can fetch what they are not sent.
func (db *DB) AssignSeqs(ctx context.Context) error {
	return db.seeing(func() error { return db.Exec(ctx, "assign seqs", `select roomcast.assign_seqs()`) })
}

// LeaveAwake ends the awake lease now, for a relay that must stop at once:
// writers request wake-ups again. It ends it for every relay; one that still polls takes it
// back within a moment, at the price of a needless wake-up.
func (db *DB) LeaveAwake(ctx context.Context) error {
	return db.Exec(ctx, "leave awake", `select roomcast.leave_awake()`)
}

// MaySleep reports whether a relay that let its lease lapse may stop polling:
// nothing waits, and no transaction is open that wrote while the lease held.
func (db *DB) MaySleep(ctx context.Context) (bool, error) {
	return db.Ask(ctx, "may sleep", `select roomcast.may_sleep()`)
}

// Await waits, in the database, until a claim would find something, for as long as
// patience, and reports whether it would. It checks every so often; the answer can be that
// late. Nothing is leased: it is the next claim that says what there is.
func (db *DB) Await(ctx context.Context, patience, every time.Duration) (found bool, err error) {
	err = db.seeing(func() error {
		found, err = db.Ask(ctx, "await", awaitSQL, patience, every)
		return err
	})
	return found, err
}

const awaitSQL = `select roomcast.await_rows($1::interval, $2::interval)`

// HasWaiting reports whether any row waits to be accepted, due now or later.
func (db *DB) HasWaiting(ctx context.Context) (bool, error) {
	return db.Ask(ctx, "has waiting", `select roomcast.has_waiting()`)
}

// Clean removes some of the sent rows that are past the retention, at most maxRanges
// ranges of them, and returns how many rows went. It does the rest of the upkeep, too: a
// database without pg_cron has nobody else for it.
func (db *DB) Clean(ctx context.Context, maxRanges int) (int64, error) {
	var n int64
	if err := db.QueryRow(ctx, `with c as materialized (select roomcast.clean($1) as n), u as materialized (select roomcast.upkeep() from c) select n from c, u`, maxRanges).Scan(&n); err != nil {
		return 0, fmt.Errorf("clean: %w", err)
	}
	return n, nil
}
