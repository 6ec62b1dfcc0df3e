package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/access"
	"roomcast/shared/admin"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/supabase"
)

const (
	roomA, roomB = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
	ada, bob     = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
)

// chat is a usual chat, with a column for each example, and the policies that
// Supabase's own guide has: participants see their rooms' messages.
const chat = `
create table public.chat_rooms (id uuid primary key, is_public boolean not null default false, owner_id uuid);
create table public.profiles (id uuid primary key, name text not null);
create table public.room_participants (room_id uuid not null, user_id uuid not null, unique (room_id, user_id));
create table public.messages (id uuid primary key default gen_random_uuid(), room_id uuid not null, user_id uuid, content text);

-- As people write it: no search_path, no schema.
create function public.is_participant(room uuid) returns boolean language sql stable security definer
  as $$ select exists (select from room_participants where room_id = room and user_id = auth.uid()) $$;

alter table public.messages enable row level security;
alter table public.room_participants enable row level security;
create policy "participants may select messages of their rooms" on public.messages
  for select to authenticated using (public.is_participant(room_id));
create policy "participants see their own rows" on public.room_participants
  for select to authenticated using (user_id = auth.uid());

insert into public.chat_rooms (id) values ('` + roomA + `'), ('` + roomB + `');
insert into auth.users (id, email, raw_app_meta_data) values ('` + ada + `', 'ada@example.com', '{"roles":["moderator"]}'), ('` + bob + `', 'bob@example.com', '{}');
insert into public.profiles values ('` + ada + `', 'Ada'), ('` + bob + `', 'Bob');
`

// project is a database as a Supabase project has it: its owner is no superuser, and
// the relay's role is its own.
type project struct {
	*testing.T
	owner           *pgx.Conn
	relay           *outbox.DB
	url             string // the relay's
	super, ownerURL string
}

func newProject(t *testing.T, examples ...string) *project {
	t.Helper()
	super := outboxtest.DatabaseFrom(t, "project", prepare)
	owner, relay := asUser(super, "project_owner", "owner"), asUser(super, "roomcast_relay", "relay")
	// The one right that belongs to the database and not to what is in it.
	if err := outboxtest.Exec(t.Context(), super, grantCreate); err != nil {
		t.Fatal(err)
	}
	p := &project{T: t, url: relay, super: super, ownerURL: owner}
	var err error
	if p.owner, err = pgx.Connect(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.owner.Close(context.Background()) })
	for range 2 { // an example can be run again, and so can a migration after it
		for _, name := range examples {
			sql, err := os.ReadFile("examples/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if err := outboxtest.Exec(t.Context(), owner, string(sql)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := admin.Migrate(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
	}
	if p.relay, err = outbox.Open(relay, 2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.relay.Close)
	return p
}

const grantCreate = `do $$ begin execute format('grant create on database %I to project_owner', current_database()); end $$`

// prepare makes the project, once for all tests.
func prepare(ctx context.Context, super string) error {
	if err := supabase.Install(ctx, super); err != nil {
		return err
	}
	// What Supabase's role postgres may: create roles and schemas, pass row level
	// security, and act as the API's roles, but no more.
	setUp := `do $$ begin
	    if to_regrole('project_owner') is null then
	      create role project_owner login createrole bypassrls password 'owner';
	    end if;
	    if to_regrole('roomcast_relay') is null then create role roomcast_relay; end if;
	  end $$;
	  alter role roomcast_relay login password 'relay';
	  grant anon, authenticated, service_role to project_owner;
	  grant create, usage on schema public to project_owner;
	  grant all on all tables in schema auth to project_owner;
	  grant usage on schema auth to project_owner;
	  alter default privileges for role project_owner in schema public grant all on tables to anon, authenticated, service_role;`
	if err := outboxtest.Exec(ctx, super, setUp+grantCreate); err != nil {
		return err
	}
	owner := asUser(super, "project_owner", "owner")
	if err := outboxtest.Exec(ctx, owner, chat); err != nil {
		return err
	}
	if err := admin.Migrate(ctx, owner); err != nil {
		return err
	}
	return outboxtest.Exec(ctx, owner, `select roomcast.attach_messages('messages'), roomcast.attach_members('room_participants')`)
}

// asUser is the same database for another user. The URL is one of outboxtest's.
func asUser(databaseURL, user, password string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return ""
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func (p *project) exec(sql string, args ...any) {
	p.Helper()
	if _, err := p.owner.Exec(p.Context(), sql, args...); err != nil {
		p.Fatalf("%s: %v", sql, err)
	}
}

// want asks as the relay does.
func (p *project) want(want bool, room, user string, more ...string) {
	p.Helper()
	claims := map[string]any{"sub": user, "role": "authenticated", "aud": "authenticated"}
	for _, m := range more {
		if err := json.Unmarshal([]byte(m), &claims); err != nil {
			p.Fatal(err)
		}
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		p.Fatal(err)
	}
	got, err := access.Store{DB: p.relay}.CanRead(p.Context(), room, user, raw)
	if err != nil {
		p.Fatal(err)
	}
	if got != want {
		p.Errorf("room %.4s, user %.4s: may read %v, want %v", room, user, got, want)
	}
}

// revoked returns the users who were revoked since, as "user room".
func (p *project) revoked() (out []string) {
	p.Helper()
	rooms, err := p.relay.Claim(p.Context(), "r", outbox.Limits{Rows: 100, PerRoom: 100, Lease: 1})
	if err != nil {
		p.Fatal(err)
	}
	var acks []outbox.Ack
	for _, room := range rooms {
		for _, row := range room.Rows {
			// The user hears of it in the personal stream, too: that is no second revocation.
			if stream, _, err := event.ParseKey(room.ID); err != nil || stream != event.RoomStream {
				continue
			}
			if row.Change.Kind == "members" && row.Change.Op == "DELETE" {
				var who map[string]string
				if err := json.Unmarshal(row.Change.Record, &who); err != nil {
					p.Fatal(err)
				}
				out = append(out, fmt.Sprintf("%.4s %.4s", who["user_id"], who["room_id"]))
			}
		}
		acks = append(acks, outbox.Ack{Room: room.ID, Fence: room.Fence, Seq: room.Rows[len(room.Rows)-1].Seq})
	}
	if _, err := p.relay.Ack(p.Context(), acks); err != nil {
		p.Fatal(err)
	}
	return out
}

func (p *project) wantRevoked(want ...string) {
	p.Helper()
	if got := p.revoked(); fmt.Sprint(got) != fmt.Sprint(want) {
		p.Errorf("revoked %v, want %v", got, want)
	}
}

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
