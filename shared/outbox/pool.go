package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	// ErrBusy: no connection was free before the deadline, of the database's, the role's
	// or the pooler's.
	ErrBusy = errors.New("no free connection to the database")
	// ErrOtherApp: the outbox belongs to another Pusher app; the error around it names
	// both.
	ErrOtherApp = errors.New("another Pusher app's outbox")
)

// The SQLSTATEs that Go acts upon.
const (
	stateTooMany   = "53300" // too_many_connections
	stateIsolation = "RC011" // check_isolation()
	stateOtherApp  = "RC012" // check_app()
)

const (
	freshFor  = time.Second            // a connection used within this is not asked whether it lives
	pongLimit = 500 * time.Millisecond // for one that is
	busyPause = 2 * time.Millisecond   // before another try for a connection, doubled up to
	busyMost  = 50 * time.Millisecond

	// pinned begins what must see each commit at once and hinder nobody: the database's,
	// role's or session's default may be another level, or read only.
	pinned = "begin isolation level read committed read write"
)

// usedKey is where a connection keeps when it was used last.
const usedKey = "roomcast.used"

// settle reads, once for each connection, whether its defaults are to be overruled.
func (db *DB) settle(ctx context.Context, conn *pgx.Conn) error {
	var usual bool
	err := conn.QueryRow(ctx, `select current_setting('default_transaction_isolation') = 'read committed'
	  and current_setting('default_transaction_read_only') = 'off'`).Scan(&usual)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if !usual {
		db.pin.Store(true)
	}
	return nil
}

// acquire takes a connection. Where there is none to be had it waits for one as long as
// ctx allows; one that died while this machine slept or was frozen is found out at once,
// and so are those that slept beside it.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	var busy error // what the try before was told
	for pause := busyPause; ; pause = min(2*pause, busyMost) {
		conn, err := db.pool.Acquire(ctx)
		switch {
		case err == nil && lives(ctx, conn):
			return conn, nil
		case err == nil:
			_ = conn.Conn().Close(context.WithoutCancel(ctx))
			conn.Release()
			db.pool.Reset()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		case busy != nil && ctx.Err() != nil: // the time was up during a try
			return nil, fmt.Errorf("%w: %w", ErrBusy, busy)
		case !isBusy(err):
			return nil, err
		}
		busy = err
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrBusy, busy)
		}
	}
}

// lives asks a connection that has not been used for a while. The time is the wall's: the
// other clock stands still while a machine sleeps.
func lives(ctx context.Context, conn *pgxpool.Conn) bool {
	used, ok := conn.Conn().PgConn().CustomData()[usedKey].(time.Time)
	if idle := time.Now().Round(0).Sub(used); !ok || idle >= 0 && idle < freshFor {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, pongLimit)
	defer cancel()
	return conn.Ping(ctx) == nil
}

func release(conn *pgxpool.Conn) {
	conn.Conn().PgConn().CustomData()[usedKey] = time.Now().Round(0)
	conn.Release()
}

// isBusy reports whether a connection was refused because there are too many.
func isBusy(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	text := strings.ToLower(pg.Message)
	return pg.Code == stateTooMany ||
		strings.Contains(text, "no more connections allowed") || strings.Contains(text, "max client") // poolers
}

// Query is pgx's, for the packages that ask the same database other questions. The rows
// must be closed.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	batch := &pgx.Batch{}
	batch.Queue(sql, args...)
	results, err := db.send(ctx, batch)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(err, results.Close())
	}
	return &pooledRows{Rows: rows, results: results}, nil
}

// send sends statements in one round trip, on one connection.
func (db *DB) send(ctx context.Context, batch *pgx.Batch) (*pooledResults, error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	if !db.pin.Load() {
		return &pooledResults{BatchResults: conn.SendBatch(ctx, batch), conn: conn}, nil
	}
	whole := &pgx.Batch{QueuedQueries: []*pgx.QueuedQuery{{SQL: pinned}}}
	whole.QueuedQueries = append(whole.QueuedQueries, batch.QueuedQueries...)
	whole.Queue("commit")
	results := &pooledResults{BatchResults: conn.SendBatch(ctx, whole), conn: conn}
	if _, err := results.Exec(); err != nil {
		return nil, errors.Join(err, results.Close())
	}
	return results, nil
}

// pooledResults give their connection back when closed.
type pooledResults struct {
	pgx.BatchResults
	conn *pgxpool.Conn
}

// Close reads what is left. Its error is the first, of the commit, too.
func (r *pooledResults) Close() error {
	if r.conn == nil {
		return nil
	}
	err := r.BatchResults.Close()
	release(r.conn)
	r.conn = nil
	return err
}

// pooledRows give their connection back when they end or are closed.
type pooledRows struct {
	pgx.Rows
	results *pooledResults
	err     error
}

func (r *pooledRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *pooledRows) Close() {
	r.Rows.Close()
	if err := r.results.Close(); r.err == nil {
		r.err = err
	}
}

func (r *pooledRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

// QueryRow is pgx's.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := db.Query(ctx, sql, args...)
	return pooledRow{rows: rows, err: err}
}

type pooledRow struct {
	rows pgx.Rows
	err  error
}

// Scan reads the first row and ends the query.
func (r pooledRow) Scan(to ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(to...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// Exec runs one statement; what names it in the error.
func (db *DB) Exec(ctx context.Context, what, sql string, args ...any) error {
	rows, err := db.Query(ctx, sql, args...)
	if err == nil {
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Ask runs a query for one boolean; what names it in the error.
func (db *DB) Ask(ctx context.Context, what, sql string, args ...any) (bool, error) {
	var yes bool
	if err := db.QueryRow(ctx, sql, args...).Scan(&yes); err != nil {
		return false, fmt.Errorf("%s: %w", what, err)
	}
	return yes, nil
}

// seeing does what needs to see each commit at once. If the transactions turn out to be of
// another kind it pins them, and does it again.
func (db *DB) seeing(do func() error) error {
	err := do()
	if stateOf(err) == stateIsolation {
		db.pin.Store(true)
		err = do()
	}
	if stateOf(err) == stateOtherApp {
		return fmt.Errorf("%w: %w", ErrOtherApp, err)
	}
	return err
}

func stateOf(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
