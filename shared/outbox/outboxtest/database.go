package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	startTimeout = 3 * time.Minute
	adminTimeout = time.Minute
)

// shared is the test binary's one cluster, started by the first test that asks.
// Nobody stops it: the watchdog does, when the binary ends.
var shared = sync.OnceValues(func() (*cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	server, err := StartPostgres(ctx, Options{})
	if err != nil {
		return nil, err
	}
	return &cluster{server: server, templates: map[string]error{}}, nil
})

// Database returns the URL of a new, empty database in the test binary's cluster,
// dropped when the test ends. Without installed server programs the test is
// skipped, or fails where CI=true.
func Database(tb testing.TB) string {
	tb.Helper()
	return need(tb).database(tb, "template1")
}

// DatabaseFrom is Database with something prepared in it. The first call for a
// name runs prepare on an empty database; every call returns a copy of the
// result, which takes milliseconds. Roles belong to the cluster, not to the copy.
func DatabaseFrom(tb testing.TB, name string, prepare func(ctx context.Context, url string) error) string {
	tb.Helper()
	c := need(tb)
	template, err := c.template(name, prepare)
	if err != nil {
		tb.Fatalf("template %s: %v", name, err)
	}
	return c.database(tb, template)
}

// Start starts a cluster of the test's own, to be crashed and restarted, and
// stops it when the test ends. It skips and fails as Database does.
func Start(tb testing.TB, opts Options) *Server {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	server, err := StartPostgres(ctx, opts)
	demand(tb, err)
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Errorf("stop postgres: %v", err)
		}
	})
	return server
}

func need(tb testing.TB) *cluster {
	tb.Helper()
	c, err := shared()
	demand(tb, err)
	return c
}

// demand ends the test if err says there is no cluster: a laptop may lack
// Postgres, a build that reports success must not.
func demand(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case (errors.Is(err, ErrNoPostgres) || errors.Is(err, ErrNoPgBouncer)) && os.Getenv("CI") != "true":
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %v\n", tb.Name(), err)
		tb.Skip(err)
	default:
		tb.Fatal(err)
	}
}

// cluster makes databases in a server.
type cluster struct {
	server *Server

	mu        sync.Mutex
	pooler    *Pooler          // nil until somebody asks
	templates map[string]error // the outcome of each template's preparation
	count     int
}

// database copies template; dropping is forced, since a test's pool may still be open.
func (c *cluster) database(tb testing.TB, template string) string {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	name := fmt.Sprintf("test_%d", c.count)
	if err := c.create(name, template); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.exec("drop database if exists " + name + " with (force)"); err != nil {
			tb.Errorf("drop database: %v", err)
		}
	})
	return c.server.URL(name)
}

// template prepares a database once and remembers a failure.
func (c *cluster) template(name string, prepare func(context.Context, string) error) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	database := "template_" + name
	err, known := c.templates[name]
	if !known {
		err = c.prepare(database, prepare)
		c.templates[name] = err
	}
	return database, err
}

func (c *cluster) prepare(database string, prepare func(context.Context, string) error) error {
	if err := c.create(database, "template1"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return prepare(ctx, c.server.URL(database))
}

// create copies a template. Postgres refuses while somebody is connected to the
// template, and a closed connection takes its backend a moment to notice.
func (c *cluster) create(name, template string) error {
	const objectInUse = "55006"
	sql := "create database " + pgx.Identifier{name}.Sanitize() + " template " + pgx.Identifier{template}.Sanitize()
	for deadline := time.Now().Add(adminTimeout); ; {
		err := c.exec(sql)
		var pgErr *pgconn.PgError
		if err == nil || !errors.As(err, &pgErr) || pgErr.Code != objectInUse || time.Now().After(deadline) {
			return err
		}
		// Postgres itself waits up to 5 s before it answers so; ask again at once.
	}
}

func (c *cluster) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.server.URL("postgres"))
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%.40s…: %w", sql, err)
	}
	return nil
}
