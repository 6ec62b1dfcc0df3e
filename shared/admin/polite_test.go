package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
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

// A migration beside an open writer waits for it in short tries, says who it is, and
// stalls nobody else's statement for longer than a try.
func TestMigrateWaitsPolitely(t *testing.T) {
	url := outboxtest.Chat(t)
	lockingWork(t, url)
	end := hold(t, url)
	stop, slowest := make(chan struct{}), make(chan time.Duration)
	go writeUntil(t, url, stop, slowest)
	var told []string
	err := admin.Migration{URL: url, Waiting: func(_, holders string) {
		if told = append(told, holders); len(told) == 4 {
			end()
		}
	}}.Run(t.Context())
	close(stop)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) < 4 || !strings.Contains(told[0], "open-editor") || !strings.Contains(told[0], "idle in transaction") {
		t.Errorf("said while waiting: %q", told)
	}
	// A try is 80 ms; the rest is for a machine that is busy with other tests.
	if took := <-slowest; took > time.Second {
		t.Errorf("another writer stalled for %v", took)
	}
}

// writeUntil inserts until stop, and then tells how long the slowest insert took.
func writeUntil(t *testing.T, databaseURL string, stop <-chan struct{}, slowest chan<- time.Duration) {
	conn, err := pgx.Connect(context.WithoutCancel(t.Context()), databaseURL)
	if err != nil {
		t.Error(err)
		slowest <- 0
		return
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var most time.Duration
	for {
		select {
		case <-stop:
			slowest <- most
			return
		default:
		}
		start := time.Now()
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), `insert into messages (room_id, content) values ('aaaaaaaa-0000-4000-8000-000000000001', 'y')`); err != nil {
			t.Error(err)
			slowest <- most
			return
		}
		most = max(most, time.Since(start))
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
