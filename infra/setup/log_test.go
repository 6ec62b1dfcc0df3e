package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

// The webhook's secret does not stand in the log of a server that writes every statement:
// neither one that the database makes, nor one that setup or ops hands over.
func TestSecretStaysOutOfTheServersLog(t *testing.T) {
	const secret = "setup-secret-of-32-characters-00"
	log := outboxtest.StartLogged(t)
	url := log.URL
	if err := (admin.Migration{URL: url}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { told = append(told, n.Severity+" "+n.Message) }
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	kept := func(statements ...string) (secret string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.QueryRow(t.Context(), `select roomcast.wakeup_secret()`).Scan(&secret); err != nil {
			t.Fatal(err)
		}
		return secret
	}
	const address = `select roomcast.configure(url => 'https://chat.example/webhooks/supabase')`
	made := kept(address)
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(made) || !strings.Contains(fmt.Sprint(told), "wakeup_secret()") {
		t.Errorf("made %q, and told %q", made, told)
	}
	if again := kept(address, `select roomcast.configure(retention => '1 day')`); again != made {
		t.Error("a secret that is in use was replaced")
	}
	if err := admin.Configure(t.Context(), conn, "", secret); err != nil || kept() != secret {
		t.Fatalf("the database keeps %q, %v", kept(), err)
	}
	if said := log.SoFar(t); strings.Contains(said, secret) || strings.Contains(said, made) {
		t.Fatal("the secret stands in the server's log")
	}
	if strings.Contains(fmt.Sprint(told), "WARNING") {
		t.Errorf("warned: %q", told)
	}
	kept(`select roomcast.configure(secret => 'typed-secret-of-32-characters-000')`)
	if said := fmt.Sprint(told); !strings.Contains(said, "WARNING") || strings.Contains(said, "typed-secret") {
		t.Errorf("who types a secret is told %q", told)
	}
}
