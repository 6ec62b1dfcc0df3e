package access_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/access"
	"roomcast/shared/admin"
)

func (c *chat) store() access.Store { return access.Store{DB: c.DB} }

// Many questions at once get the answers that one by one would get.
func TestCanReadAll(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	ask := func(rooms ...string) (said []string, err error) {
		users, claims := make([]string, len(rooms)), make([][]byte, len(rooms))
		for i := range rooms {
			users[i], claims[i] = user1, []byte(`{"quoted": "\"{},\\"}`)
		}
		answers, err := c.store().CanReadAll(t.Context(), rooms, users, claims)
		for _, answer := range answers {
			if answer == nil {
				said = append(said, "failed")
			} else {
				said = append(said, fmt.Sprint(*answer))
			}
		}
		return said, err
	}
	got, err := ask(roomB, roomA, `no "uuid", {}`, roomA, "")
	if want := []string{"false", "true", "false", "true", "false"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if got, err := ask(); err != nil || len(got) != 0 {
		t.Errorf("nothing asked: %v, %v", got, err)
	}
	for _, change := range []string{`select`, // none: one query answers, since no room is odd
		`alter table room_participants rename to members`, // one by one, by way of the catalog
		`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
			language plpgsql as $$ begin return roomcast.is_member(can_read.room, can_read.user_id) and claims is not null; end $$`,
	} {
		c.Exec(change)
		if got, err := ask(roomB, roomA, roomB, roomA); err != nil || !slices.Equal(got, []string{"false", "true", "false", "true"}) {
			t.Errorf("after %s: %v, %v", change, got, err)
		}
	}
	c.Exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language sql as $$ select case room when 'null' then null else 1 / (length(room) - 1) > 0 end $$`)
	if got, err := ask("ab", "a", "null"); err != nil || !slices.Equal(got, []string{"true", "failed", "false"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A member is found by an index, though the session planned that when there were none, and
// the table was known to be empty.
func TestMembersAreFoundByAnIndex(t *testing.T) {
	for name, ask := range map[string]string{
		"one":  `select roomcast.may_read($1, $2, null)`,
		"many": `select bool_and(ok) from roomcast.may_read_all(array_fill($1::text, array[100]), array_fill($2::uuid, array[100]), null) ok`,
	} {
		t.Run(name, func(t *testing.T) {
			c := newChat(t)
			c.Exec(`vacuum analyze room_participants`)
			for range 7 { // a plan for all parameters is made after five
				c.Exec(ask, roomA, user1)
			}
			c.Exec(`set roomcast.capture = 'off'`)
			c.Exec(`insert into room_participants (room_id, user_id) select gen_random_uuid(), gen_random_uuid() from generate_series(1, 20000)`)
			c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
			c.Exec(`begin`)
			if !one[bool](c, ask, roomA, user1) {
				t.Error("no member")
			}
			if n := one[int](c, `select (seq_tup_read + idx_tup_fetch)::int from pg_stat_xact_user_tables where relid = 'room_participants'::regclass`); n > 100 {
				t.Errorf("reads %d rows", n)
			}
			c.Exec(`commit`)
		})
	}
}

func TestMemberInfo(t *testing.T) {
	c := newChat(t)
	if _, known, err := c.store().MemberInfo(t.Context(), roomA, user1, []byte(`{}`)); known || err != nil {
		t.Errorf("without a function: known %v, %v", known, err)
	}
	c.Exec(`create function roomcast.member_info(room text, user_id uuid, claims jsonb) returns jsonb
		language sql as $$ select case when room = 'r' then jsonb_build_object('name', claims->>'email', 'n', 1) end $$`)
	info, known, err := c.store().MemberInfo(t.Context(), "r", user1, []byte(`{"email":"a@b"}`))
	if want := map[string]any{"name": "a@b", "n": float64(1)}; err != nil || !known || !cmp.Equal(info, want) {
		t.Errorf("info %v, known %v, %v", info, known, err)
	}
	if info, known, err := c.store().MemberInfo(t.Context(), "other", user1, []byte(`{}`)); err != nil || !known || len(info) != 0 {
		t.Errorf("null: %v, known %v, %v", info, known, err)
	}
}

func TestPresence(t *testing.T) {
	c := newChat(t)
	start := time.Now().Truncate(time.Millisecond)
	note := func(after time.Duration, announce bool, said ...access.Presence) []access.Presence {
		t.Helper()
		changed, err := c.store().NotePresence(t.Context(), said, start.Add(after), announce)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	in, out := access.Presence{Room: "r", UserID: "u", Online: true}, access.Presence{Room: "r", UserID: "u"}
	other := access.Presence{Room: "r", UserID: "v", Online: true}
	for i, tc := range []struct {
		after    time.Duration
		said     []access.Presence
		announce bool
		want     []access.Presence
	}{
		{0, []access.Presence{in, other}, true, []access.Presence{in, other}},
		{0, []access.Presence{in, other}, true, []access.Presence{}},                                                 // a repeat
		{-time.Second, []access.Presence{out}, true, []access.Presence{}},                                            // overtaken
		{2 * time.Second, []access.Presence{out}, true, []access.Presence{out}},                                      //
		{time.Second, []access.Presence{in}, true, []access.Presence{}},                                              // late, and older than the leaving
		{3 * time.Second, []access.Presence{in}, false, []access.Presence{in}},                                       //
		{2500 * time.Millisecond, []access.Presence{{Room: "r"}}, true, []access.Presence{{Room: "r", UserID: "v"}}}, // vacated before u came back
		{4 * time.Second, []access.Presence{{Room: "r"}, other}, true, []access.Presence{out, other}},
		{5 * time.Second, []access.Presence{{Room: "empty"}}, true, []access.Presence{}},
	} {
		if diff := cmp.Diff(tc.want, note(tc.after, tc.announce, tc.said...)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	var events []string
	for _, row := range c.Claim("r")["r"].Rows {
		events = append(events, string(row.Change.Kind)+" "+string(row.Change.Op)+" "+string(row.Change.Record))
	}
	want := []string{
		`presence INSERT {"room_id": "r", "user_id": "u"}`, `presence INSERT {"room_id": "r", "user_id": "v"}`,
		`presence DELETE {"room_id": "r", "user_id": "u"}`, `presence DELETE {"room_id": "r", "user_id": "v"}`,
		`presence DELETE {"room_id": "r", "user_id": "u"}`, `presence INSERT {"room_id": "r", "user_id": "v"}`,
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("announced (-want +got):\n%s", diff)
	}
	c.Exec(`update roomcast.presence set at = at - interval '2 hours'`)
	if n := one[int](c, `select roomcast.clean_presence()`); n != 1 {
		t.Errorf("forgot %d users, want the one who left", n)
	}
}

func TestCanRead(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	ask := func(room, user string) bool {
		ok, err := c.store().CanRead(t.Context(), room, user, []byte(`{"role":"authenticated"}`))
		if err != nil {
			t.Fatalf("can read %s: %v", room, err)
		}
		return ok
	}
	for _, tc := range []struct {
		room, user string
		want       bool
	}{
		{roomA, user1, true}, {roomB, user1, false}, {roomA, user2, false}, {"not a uuid", user1, false}, {"", user1, false},
	} {
		if got := ask(tc.room, tc.user); got != tc.want {
			t.Errorf("can read %q: %v, want %v", tc.room, got, tc.want)
		}
	}
	c.Exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language sql as $$ select room = 'town-square' and claims->>'role' = 'authenticated' $$`)
	if err := admin.Migrate(t.Context(), c.URL); err != nil {
		t.Fatal(err)
	}
	if !ask("town-square", user2) || ask(roomA, user1) {
		t.Error("the team's own can_read was not asked, or was overwritten by a migration")
	}
}
