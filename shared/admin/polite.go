package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/outbox"
)

// Migration is one run of [Migrate] and how it behaves beside the chat's own
// transactions: it asks for a lock for a moment only, since writers queue behind a session that
// waits for one, and tries again until its patience is over.
type Migration struct {
	URL      string
	CA       string                            // PEM; see outbox.ParseURL
	Patience time.Duration                     // with locks that others hold; a minute by default
	Waiting  func(file string, holders string) // told, if set, each time a lock is not to be had
}

// Locks are waited for in a migration as long as this, at a time: it is how long a writer
// may stall behind us.
const (
	filesLockTimeout = "set local lock_timeout = '3s'" // as the files have it, for psql
	ourLockTimeout   = "set local lock_timeout = '80ms'"
	lockNotAvailable = "55P03"
)

// ErrLocked is a migration that gave up: others held what it needed. The error around it
// names them.
var ErrLocked = errors.New("the tables are locked by others")

// Run migrates.
func (m Migration) Run(ctx context.Context) error {
	config, err := outbox.ParseURL(m.URL, m.CA)
	if err != nil {
		return err
	}
	config.ConnConfig.RuntimeParams["application_name"] = "roomcast-migrate"
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // right behind every pooler
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return fmt.Errorf("migrate: connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := needUTF8(ctx, conn); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	done, err := applied(ctx, conn)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	deadline := time.Now().Add(m.Patience)
	if m.Patience == 0 {
		deadline = time.Now().Add(time.Minute)
	}
	for _, name := range append(migrations(), reapplied()...) {
		if done[versionOf(name)] {
			continue
		}
		if err := m.apply(ctx, conn, name, deadline); err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	return nil
}

// ErrEncoding is a database in which rows may hold what no claim could convert: one such
// row would hold up all rooms.
var ErrEncoding = errors.New("the database is not in UTF8: dump it, and restore it into one made with encoding 'UTF8'")

func needUTF8(ctx context.Context, conn *pgx.Conn) error {
	var encoding string
	if err := conn.QueryRow(ctx, `select current_setting('server_encoding')`).Scan(&encoding); err != nil {
		return err
	}
	if encoding != "UTF8" {
		return fmt.Errorf("%w (it is in %s)", ErrEncoding, encoding)
	}
	return nil
}

// apply runs a file as psql -f would, many statements with their own begin and commit,
// again and again while its locks are not to be had.
func (m Migration) apply(ctx context.Context, conn *pgx.Conn, name string, deadline time.Time) error {
	sql, err := fs.ReadFile(outbox.SQL(), "sql/"+name)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(sql), filesLockTimeout, ourLockTimeout)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		_, err := conn.PgConn().Exec(ctx, text).ReadAll()
		if err == nil {
			return nil
		}
		if !isLocked(err) {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := conn.PgConn().Exec(ctx, "rollback").ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		holders, err := lockHolders(ctx, conn)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w: %s", name, ErrLocked, holders)
		}
		if m.Waiting != nil {
			m.Waiting(name, holders)
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", name, ctx.Err())
		}
	}
}

func isLocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == lockNotAvailable
}

// lockHoldersSQL names who has locks on the chat's tables or on ours: open transactions,
// the longest first, and prepared ones, whose locks have no process.
const lockHoldersSQL = `
	select coalesce(string_agg(h.who, '; '), 'somebody whose transaction has ended meanwhile') from (
	  select distinct coalesce(
	           format('process %s (%s, %s, %s) for %s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), a.usename, a.state,
	                  date_trunc('second', clock_timestamp() - a.xact_start)),
	           format('prepared transaction %s', p.gid)) as who, a.xact_start
	    from pg_locks l
	    left join pg_stat_activity a on a.pid = l.pid
	    left join pg_prepared_xacts p on l.virtualtransaction = '-1/' || p.transaction::text
	   where l.granted and l.pid is distinct from pg_backend_pid() and l.locktype = 'relation'
	     and l.database = (select d.oid from pg_database d where d.datname = current_database())
	     and (l.relation in (select t.tgrelid from pg_trigger t where t.tgname ~ '^roomcast_')
	          or l.relation in (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'roomcast'))
	   order by a.xact_start limit 5) h
	 where h.who is not null`

func lockHolders(ctx context.Context, conn *pgx.Conn) (holders string, err error) {
	err = conn.QueryRow(ctx, lockHoldersSQL).Scan(&holders)
	return holders, err
}
