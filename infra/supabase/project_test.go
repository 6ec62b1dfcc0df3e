package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/access"
	"roomcast/shared/admin"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/supabase"
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
