package outboxtest

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestPooler shows that PgBouncer is between, in transaction mode, and lets in a role
// that was made after it started.
func TestPooler(t *testing.T) {
	t.Setenv(PoolerVariable, "1")
	direct := Database(t)
	if Pooled(t, direct) == direct {
		t.Fatal("nothing is between")
	}
	execute(t, direct, "create role pooled_user login password 'a-password'")
	t.Cleanup(func() {
		if err := Exec(context.Background(), direct, "drop role pooled_user"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(Pooled(t, direct))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("pooled_user", "a-password")
	connect := func() *pgx.Conn {
		config, err := pgx.ParseConfig(u.String())
		if err != nil {
			t.Fatal(err)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
		return conn
	}
	backend := func(q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) (pid int) {
		if err := q.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	first, second := connect(), connect()
	before := backend(first)
	tx, err := second.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if held, after := backend(tx), backend(first); held != before || after == before {
		t.Errorf("sessions: first had %d, the second's transaction has %d, first has %d: not by transaction", before, held, after)
	}
}

func TestPooledWithoutPooler(t *testing.T) {
	t.Setenv(PoolerVariable, "")
	if got := Pooled(t, "postgres://somewhere/db"); got != "postgres://somewhere/db" {
		t.Errorf("got %s", got)
	}
}
