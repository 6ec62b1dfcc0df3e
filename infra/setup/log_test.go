package main

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

// The webhook's secret does not stand in the log of a server that writes every statement.
func TestSecretStaysOutOfTheServersLog(t *testing.T) {
	const secret = "setup-secret-of-32-characters-00"
	log := outboxtest.StartLogged(t)
	url := log.URL
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
	if err := conn.QueryRow(t.Context(), `select s.secret from roomcast.settings s`).Scan(&kept); err != nil || kept != secret {
		t.Fatalf("the database keeps %q, %v", kept, err)
	}
	if strings.Contains(log.SoFar(t), secret) {
		t.Fatal("the secret stands in the server's log")
	}
}
