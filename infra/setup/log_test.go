package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

// The webhook's secret does not stand in the log of a server that writes every statement.
func TestSecretStaysOutOfTheServersLog(t *testing.T) {
	const secret = "setup-secret-of-32-characters-00"
	var mu sync.Mutex
	var logged strings.Builder
	server := outboxtest.Start(t, outboxtest.Options{
		Settings: map[string]string{"log_statement": "all"},
		Log: func(line string) {
			mu.Lock()
			defer mu.Unlock()
			logged.WriteString(line + "\n")
		},
	})
	url := server.URL("postgres")
	if err := (admin.Migration{URL: url}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if err := (&database{conn: conn}).configure(t.Context(), "https://chat.example/webhooks/supabase", secret); err != nil {
		t.Fatal(err)
	}
	var kept string
	mark := fmt.Sprint("mark ", time.Now().UnixNano())
	if err := conn.QueryRow(t.Context(), `select s.secret from roomcast.settings s where $1 <> ''`, mark).Scan(&kept); err != nil || kept != secret {
		t.Fatalf("the database keeps %q, %v", kept, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		mu.Lock()
		text := logged.String()
		mu.Unlock()
		if strings.Contains(text, secret) {
			t.Fatal("the secret stands in the server's log")
		}
		if strings.Contains(text, mark) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the server's log does not come")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
