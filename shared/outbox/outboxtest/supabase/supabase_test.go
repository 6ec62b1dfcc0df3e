package supabase_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/supabase"
)

// TestPolicySeesTheClaims reads a table under row level security the way
// PostgREST does: as a role, with the token's claims in a setting.
func TestPolicySeesTheClaims(t *testing.T) {
	url := outboxtest.Database(t)
	for range 2 { // twice is harmless
		if err := supabase.Install(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := supabase.Installed(t.Context(), url); err != nil || !found {
		t.Errorf("installed: %t, %v", found, err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	const me, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	_, err = conn.Exec(t.Context(), `
		create table notes (owner uuid, body text);
		alter table notes enable row level security;
		create policy own on notes for all to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
		insert into notes values ('`+me+`', 'mine'), ('`+other+`', 'theirs')`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		role, claims string
		want         int
	}{
		{"authenticated", `{"sub":"` + me + `"}`, 1},
		{"authenticated", ``, 0},
		{"anon", `{"sub":"` + me + `"}`, 0},
		{"service_role", ``, 2},
	} {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)", tc.claims, tc.role); err != nil {
			t.Fatal(err)
		}
		var got int
		if err := tx.QueryRow(t.Context(), "select count(*) from notes").Scan(&got); err != nil || got != tc.want {
			t.Errorf("%s %s: %d rows (%v), want %d", tc.role, tc.claims, got, err, tc.want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
