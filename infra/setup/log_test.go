package main

import (
	"context"
	"fmt"
	"os/exec"
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
	// Where there is a Vault, it is Vault's to keep; the stand-in has what of it is called.
	const vaulted, password = "vault-secret-of-32-characters-000", "password-typed-into-psql"
	kept(`create schema vault;
		create table vault.secrets (id uuid primary key default gen_random_uuid(), name text unique, secret text);
		create view vault.decrypted_secrets as select id, name, secret as decrypted_secret from vault.secrets;
		create function vault.create_secret(new_secret text, new_name text) returns uuid language sql as
		  $$ insert into vault.secrets (secret, name) values (new_secret, new_name) returning id $$;
		create function vault.update_secret(secret_id uuid, new_secret text) returns void language sql as
		  $$ update vault.secrets set secret = new_secret where id = secret_id $$`)
	for _, secret := range []string{vaulted, vaulted + "-rotated"} {
		if err := admin.Configure(t.Context(), conn, "", secret); err != nil || kept() != secret {
			t.Fatalf("the database keeps %q, %v", kept(), err)
		}
	}
	var beside int
	if err := conn.QueryRow(t.Context(), `select count(*) from roomcast.settings where secret is not null`).Scan(&beside); err != nil || beside > 0 {
		t.Errorf("what Vault keeps stands in the settings, too: %v", err)
	}
	if setPassword(t, url, password) {
		var hashed bool
		if err := conn.QueryRow(t.Context(), `select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = 'roomcast_relay'`).Scan(&hashed); err != nil || !hashed {
			t.Errorf("the relay's role has no password: %v", err)
		}
	}
	if said := log.SoFar(t); strings.Contains(said, vaulted) || strings.Contains(said, password) {
		t.Error("the log has what Vault keeps, or the relay's password")
	}
	kept(`select roomcast.configure(secret => 'typed-secret-of-32-characters-000')`)
	if said := fmt.Sprint(told); !strings.Contains(said, "WARNING") || strings.Contains(said, "typed-secret") {
		t.Errorf("who types a secret is told %q", told)
	}
}

// setPassword gives the relay's role a password as infra/MOVING.md says, by psql's \password,
// and reports whether there is a psql to do so. Without a terminal psql reads the answers to
// its questions from the standard input.
func setPassword(t *testing.T, url, password string) bool {
	t.Helper()
	for _, program := range []string{"psql", "setsid"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("no password is set: %v", err)
			return false
		}
	}
	psql := exec.CommandContext(t.Context(), "setsid", "--wait", "psql", "-X", "-d", url, "-c", `\password roomcast_relay`)
	psql.Stdin = strings.NewReader(password + "\n" + password + "\n")
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return true
}
