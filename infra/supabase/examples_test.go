package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/access"
	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/supabase"
)

const (
	roomA, roomB = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
	ada, bob     = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
)

func TestPublicRooms(t *testing.T) {
	p := newProject(t, "public-rooms.sql")
	p.exec(`update chat_rooms set is_public = true where id = $1`, roomA)
	p.exec(`insert into room_participants values ($1, $2)`, roomB, bob)
	p.want(true, roomA, ada)
	p.want(false, roomB, ada)
	p.want(true, roomB, bob)
	p.want(false, "no uuid", ada)
	p.exec(`insert into roomcast.presence values ($1, $2, true, now()), ($3, $2, true, now())`, roomA, ada, roomB)
	p.exec(`update chat_rooms set is_public = false`)
	p.wantRevoked("1111 aaaa")
}

// Each example runs as it stands on the project's own demo chat, twice.
func TestExamplesOnTheDemoChat(t *testing.T) {
	demo, err := os.ReadFile("../local/chat.sql")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Glob("examples/*.sql")
	if err != nil || len(examples) < 6 {
		t.Fatalf("%d examples, %v", len(examples), err)
	}
	url := outboxtest.Database(t)
	if err := supabase.Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if err := outboxtest.Exec(t.Context(), url, string(demo)); err != nil {
		t.Fatal(err)
	}
	if err := admin.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(examples, examples...) {
		sql, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := outboxtest.Exec(t.Context(), url, string(sql)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// pg_temp comes last in every function: what stands there first is anybody's who may make
// temporary objects.
func TestExamplesPinTheirSearchPath(t *testing.T) {
	examples, err := filepath.Glob("examples/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range examples {
		sql, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		functions := strings.Count(strings.ToLower(string(sql)), "function roomcast") + strings.Count(string(sql), "create or replace function public.")
		if pinned := strings.Count(string(sql), ", pg_temp"); pinned == 0 && functions > 0 || strings.Contains(string(sql), "search_path = ''") {
			t.Errorf("%s: %d functions, %d search paths that end in pg_temp", path, functions, pinned)
		}
	}
}

func TestRoomOwners(t *testing.T) {
	p := newProject(t, "room-owners.sql")
	p.exec(`update chat_rooms set owner_id = $2 where id = $1`, roomA, ada)
	p.want(true, roomA, ada)
	p.want(false, roomB, ada)
	p.want(false, roomA, bob)
	p.exec(`update chat_rooms set owner_id = $2 where id = $1`, roomA, bob)
	p.wantRevoked("1111 aaaa")
	p.want(false, roomA, ada)
	p.want(true, roomA, bob)
}

func TestRolesInClaims(t *testing.T) {
	p := newProject(t, "roles-in-claims.sql")
	const moderator = `{"app_metadata":{"roles":["moderator"]}}`
	p.want(true, roomA, ada, moderator)
	p.want(false, roomA, ada)
	p.want(false, roomA, ada, `{"user_metadata":{"roles":["moderator"]}}`)
	p.want(false, roomA, ada, `{"app_metadata":{"roles":{"admin":true}}}`)
	p.want(false, roomA, ada, `{"app_metadata":"moderator"}`)
	p.exec(`select public.demote($1)`, ada)
	p.wantRevoked("1111 aaaa", "1111 bbbb")
}

func TestBans(t *testing.T) {
	p := newProject(t, "bans.sql")
	p.exec(`insert into room_participants values ($1, $2), ($1, $3)`, roomA, ada, bob)
	p.want(true, roomA, ada)
	p.exec(`insert into bans values ($1, $2)`, roomA, ada)
	p.want(false, roomA, ada)
	p.want(true, roomA, bob)
	p.wantRevoked("1111 aaaa")
}

// The policies that guard the messages guard the room's channel.
func TestRowLevelSecurity(t *testing.T) {
	p := newProject(t, "row-level-security.sql")
	p.exec(`insert into room_participants values ($1, $2)`, roomA, ada)
	p.want(true, roomA, ada) // though nothing was said yet
	p.want(false, roomB, ada)
	p.exec(`insert into messages (room_id, content) values ($1, 'hush'), ($2, 'hush')`, roomA, roomB)
	p.want(true, roomA, ada)
	p.want(false, roomB, ada)
	p.want(false, roomA, bob)
	p.want(false, "no uuid", ada)
	p.want(false, "", ada)

	// A policy that is added counts at once, one that looks at claims gets them.
	p.exec(`create policy "moderators see all" on public.messages for select to authenticated
		using (auth.jwt() -> 'app_metadata' ->> 'role' = 'moderator')`)
	p.want(true, roomB, bob, `{"app_metadata":{"role":"moderator"}}`)
	p.want(false, roomB, bob)
	p.exec(`delete from room_participants`)
	p.want(false, roomA, ada)
}

// Claims of one question are not there for the next, on the same connection or in the
// same transaction.
func TestRowLevelSecurityLeavesNoClaims(t *testing.T) {
	p := newProject(t, "row-level-security.sql")
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var before, after string
	if err := conn.QueryRow(t.Context(), `select coalesce(current_setting('request.jwt.claims', true), ''),
		coalesce((select current_setting('request.jwt.claims', true) where roomcast.may_read($1, $2::uuid, jsonb_build_object('sub', $2::uuid)) is not null), '')`, roomA, ada).Scan(&before, &after); err != nil {
		t.Fatal(err)
	}
	if before != "" || after != "" {
		t.Errorf("claims left behind: %q, %q", before, after)
	}
}

// What makes it safe: the relay cannot read the tables for all that, and nobody but
// the schema's owner can ask with claims of his own making.
func TestRowLevelSecurityOpensNothing(t *testing.T) {
	p := newProject(t, "row-level-security.sql")
	ask := `select roomcast_policies.can_select('` + roomA + `', '` + ada + `', '{"sub":"` + ada + `"}')`
	for _, tc := range []struct{ role, sql string }{
		{"roomcast_relay", `select * from public.messages`},
		{"roomcast_relay", `select * from public.room_participants`},
		{"roomcast_relay", ask},
		{"authenticated", ask},
		{"anon", ask},
		{"authenticated", `select roomcast.may_read('` + roomA + `', '` + ada + `', '{}')`},
		{"authenticated", `select roomcast.revoke('` + roomA + `', '` + ada + `')`},
		{"authenticated", `select * from roomcast.presence`},
		{"authenticated", `create function roomcast_policies.f() returns int language sql as 'select 1'`},
	} {
		tx, err := p.owner.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if tc.role == "roomcast_relay" {
			// The owner cannot become the relay: connect as it.
			err = outboxtest.Exec(t.Context(), p.url, tc.sql)
		} else if _, err = tx.Exec(t.Context(), `set local role `+tc.role); err == nil {
			_, err = tx.Exec(t.Context(), tc.sql)
		}
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %s: error %v, want permission denied", tc.role, tc.sql, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemberInfo(t *testing.T) {
	p := newProject(t, "member-info.sql")
	info, known, err := access.Store{DB: p.relay}.MemberInfo(t.Context(), roomA, ada, []byte(`{"user_metadata":{"name":"The Boss"}}`))
	if err != nil || !known || fmt.Sprint(info) != "map[name:Ada]" {
		t.Errorf("info %v, known %v, %v", info, known, err)
	}
}

// The view of the README shows members who is online, and nobody else.
func TestOnlineView(t *testing.T) {
	p := newProject(t)
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, view, _ := strings.Cut(string(readme), "```sql\ncreate view")
	view, _, found := strings.Cut(view, "```")
	if !found {
		t.Fatal("the README has no view")
	}
	p.exec("create view" + view)
	p.exec(`insert into roomcast.presence values ($1, $2, true, now()), ($1, $3, false, now())`, roomA, ada, bob)
	p.exec(`insert into room_participants values ($1, $2)`, roomA, bob)
	for user, want := range map[string]int{ada: 0, bob: 1} {
		tx, err := p.owner.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var n int
		_, err = tx.Exec(t.Context(), `set local role authenticated`)
		if err == nil {
			_, err = tx.Exec(t.Context(), `select set_config('request.jwt.claims', $1, true)`, `{"sub":"`+user+`"}`)
		}
		if err == nil {
			err = tx.QueryRow(t.Context(), `select count(*) from public.online`).Scan(&n)
		}
		if err != nil || n != want {
			t.Errorf("user %.4s sees %d online (%v), want %d", user, n, err, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
