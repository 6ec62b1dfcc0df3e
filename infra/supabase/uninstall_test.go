package main_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

// uninstall works for an owner who is no superuser, with whatever a project has, leaves
// the chat as it was, and can be followed by a new installation.
func TestUninstall(t *testing.T) {
	for name, without := range map[string]string{
		"as on Supabase":          `select 1`,
		"without Vault":           `drop schema if exists vault cascade`,
		"without pg_cron":         `drop schema if exists cron cascade`,
		"with grants of the team": `grant select on public.profiles to roomcast_relay`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			if err := outboxtest.Exec(t.Context(), p.super, without); err != nil {
				t.Fatal(err)
			}
			p.exec(`select roomcast.configure(url => 'https://chat.example/webhooks/supabase', secret => 'a-webhook-secret-of-32-characters')`)
			rows, err := p.owner.Query(t.Context(), `select roomcast.uninstall()`)
			if err != nil {
				t.Fatal(err)
			}
			said, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil || !strings.Contains(strings.Join(said, "\n"), "dropped the schema roomcast") {
				t.Fatalf("%q, %v", said, err)
			}
			p.exec(`insert into messages (room_id, content) values ($1, 'still here')`, roomA)
			var left int
			if err := p.owner.QueryRow(t.Context(), `select (select count(*) from pg_trigger where tgname ~ 'roomcast')
				+ (select count(*) from pg_namespace where nspname = 'roomcast')`).Scan(&left); err != nil || left != 0 {
				t.Errorf("%d things are left, %v: %q", left, err, said)
			}
			if err := admin.Migrate(t.Context(), p.ownerURL); err != nil {
				t.Errorf("installed again: %v", err)
			}
		})
	}
}
