package admin_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// hold opens a transaction that has written a message, and returns how to end it.
func hold(t *testing.T, databaseURL string) (end func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), databaseURL+"&application_name=open-editor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `begin; insert into messages (room_id, content) values ('aaaaaaaa-0000-4000-8000-000000000001', 'x')`); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), `commit`); err != nil {
			t.Error(err)
		}
	}
}

// lockingWork makes the next migration need a lock that a writer's conflicts with.
func lockingWork(t *testing.T, databaseURL string) {
	t.Helper()
	if err := outboxtest.Exec(t.Context(), databaseURL, `drop trigger wakeup on roomcast.outbox`); err != nil {
		t.Fatal(err)
	}
}

// A migration beside an open writer waits for it in short tries, says who it is, and has
// no lock between two tries: others write on.
func TestMigrateWaitsPolitely(t *testing.T) {
	url := outboxtest.Chat(t)
	lockingWork(t, url)
	end := hold(t, url)
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(context.Background()) })
	var told []string
	err = admin.Migration{URL: url, Patience: 5 * time.Minute, Waiting: func(_, holders string) {
		told = append(told, holders)
		var locks int
		if err := other.QueryRow(t.Context(), `select count(*) from pg_locks l join pg_stat_activity a using (pid)
			where a.application_name = 'roomcast-migrate' and l.locktype = 'relation' and l.mode <> 'AccessShareLock'`).Scan(&locks); err != nil || locks != 0 {
			t.Errorf("between two tries it has %d locks, %v", locks, err)
		}
		if _, err := other.Exec(t.Context(), `insert into messages (room_id, content) values ('aaaaaaaa-0000-4000-8000-000000000001', 'y')`); err != nil {
			t.Error(err)
		}
		if len(told) == 4 {
			end()
		}
	}}.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(told) < 4 || !strings.Contains(told[0], "open-editor") || !strings.Contains(told[0], "idle in transaction") {
		t.Errorf("said while waiting: %q", told)
	}
}

// A try waits for a lock for 80 ms: it is what a writer behind it may stall.
func TestMigrationTriesAreShort(t *testing.T) {
	names, err := fs.Glob(outbox.SQL(), "sql/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		sql, err := fs.ReadFile(outbox.SQL(), name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/install.sql") {
			continue
		}
		if n := strings.Count(string(sql), "\nset local lock_timeout = '3s';"); n != 1 {
			t.Errorf("%s: %d lines that Migration.Run can make short, want one behind its begin", name, n)
		}
	}
}

// What does not end is named, and nothing is left half done.
func TestMigrateGivesUp(t *testing.T) {
	url := outboxtest.Chat(t)
	lockingWork(t, url)
	end := hold(t, url)
	err := admin.Migration{URL: url, Patience: time.Millisecond}.Run(t.Context())
	if !errors.Is(err, admin.ErrLocked) || !strings.Contains(err.Error(), "open-editor") || !strings.Contains(err.Error(), "wakeup.sql") {
		t.Errorf("gave up with: %v", err)
	}
	end()
	if err := admin.Migrate(t.Context(), url); err != nil {
		t.Error(err)
	}
}
