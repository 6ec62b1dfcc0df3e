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

// departures claims all there is, acks it, and names the seqs of deletions of members.
func (c *chat) departures() (gone []access.Departure) {
	c.Helper()
	rooms := c.Claim("r")
	c.AckAll(rooms)
	for _, room := range rooms {
		for _, row := range room.Rows {
			if row.Change.IsDeparture() {
				gone = append(gone, access.Departure{Room: room.ID, Seq: row.Seq})
			}
		}
	}
	slices.SortFunc(gone, func(a, b access.Departure) int { return int(a.Seq - b.Seq) })
	return gone
}

func (c *chat) queue(gone []access.Departure, grace time.Duration) []string {
	c.Helper()
	left, err := c.store().QueueRevocations(c.Context(), gone, grace)
	if err != nil {
		c.Fatal(err)
	}
	slices.Sort(left.Users)
	return left.Users
}

func (c *chat) claimRevocations() []access.Revocation {
	c.Helper()
	cuts, err := c.store().ClaimRevocations(c.Context(), 10, time.Minute)
	if err != nil {
		c.Fatal(err)
	}
	return cuts
}

func (c *chat) settle(cut access.Revocation, wait time.Duration) {
	c.Helper()
	if err := c.store().ConfirmRevocations(c.Context(), []access.Confirmation{{Revocation: cut, Wait: wait}}); err != nil {
		c.Fatal(err)
	}
}

// A membership row that goes, a moved one, and a revocation by hand are departures;
// one row per user waits, and goes when the user was cut.
func TestCuts(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $3), ($1, $4), ($2, $3)`, roomA, roomB, user1, user2)
	c.Exec(`delete from room_participants where user_id = $1`, user1)
	c.Exec(`update room_participants set room_id = $1`, roomB)
	c.Exec(`select roomcast.revoke('lobby', $1)`, user2)
	gone := c.departures()
	if len(gone) != 4 {
		t.Fatalf("departures %v, want 4", gone)
	}
	if users := c.queue(gone, 0); !slices.Equal(users, []string{user1, user2}) {
		t.Errorf("queued %v", users)
	}
	if !one[bool](c, `select roomcast.has_waiting()`) {
		t.Error("a relay may rest while a user is to be cut")
	}
	cuts := c.claimRevocations()
	if len(cuts) != 2 || cuts[0].Tries != 1 || len(c.claimRevocations()) != 0 {
		t.Fatalf("claimed %v", cuts)
	}
	for _, cut := range cuts {
		c.settle(cut, 0)
	}
	if n := one[int](c, `select count(*) from roomcast.revocations`); n != 0 {
		t.Errorf("%d users are still to be cut", n)
	}
}

// A member who goes is to be disconnected, also the last member of a room, and all of them at
// once: the room can be there still, and get other members.
func TestAllMembersAtOnce(t *testing.T) {
	c := newChat(t)
	c.Exec(`update roomcast.settings set bulk = 1`)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2), ($1, $3)`, roomA, user1, user2)
	c.Exec(`delete from room_participants`)
	if users := c.queue(c.departures(), time.Hour); !slices.Equal(users, []string{user1, user2}) {
		t.Errorf("to be disconnected: %v", users)
	}
}

// A bulk change names nobody: all count who are noted, whichever attempt noted them, ten
// thousand at a time, until none is left.
func TestBulkDepartures(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2), ($1, $3)`, roomA, user1, user2)
	c.Exec(`insert into roomcast.departures (user_id) select 'earlier ' || i from generate_series(1, 10000) i`)
	c.Exec(`update roomcast.settings set bulk = 1`)
	c.Exec(`delete from room_participants`)
	gone := c.departures()
	if len(gone) != 1 {
		t.Fatalf("departures %v, want one of many", gone)
	}
	for n, want := range []struct {
		noted, known int
		more         bool
	}{{10000, 0, true}, {2, 10000, false}, {0, 10000, true}} {
		left, err := c.store().QueueRevocations(t.Context(), gone, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if len(left.Users) != want.noted || len(left.Known) != want.known || left.More != want.more {
			t.Errorf("attempt %d: %d noted, %d known, more: %v; want %+v", n+1, len(left.Users), len(left.Known), left.More, want)
		}
	}
	c.Exec(`delete from roomcast.revocations where user_id like 'earlier%'`)
	left, err := c.store().QueueRevocations(t.Context(), gone, time.Hour)
	if slices.Sort(left.Known); err != nil || left.More || !slices.Equal(left.Known, []string{user1, user2}) {
		t.Errorf("at last: %+v, %v", left, err)
	}
}

// Two rooms, two bulk changes, two relays at the same moment: whom the one takes the other
// waits for, and has disconnected, too.
func TestBulkDeparturesOfTwoRooms(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $3), ($1, $4), ($2, $3), ($2, $4)`, roomA, roomB, user1, user2)
	c.Exec(`update roomcast.settings set bulk = 1`)
	c.Exec(`delete from room_participants`)
	gone := c.departures()
	if len(gone) != 2 || gone[0].Room == gone[1].Room {
		t.Fatalf("departures %v, want one of each room", gone)
	}
	tx, err := c.Conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select roomcast.queue_revocations(array[$1], array[$2::bigint], '1 hour')`, gone[0].Room, gone[0].Seq); err != nil {
		t.Fatal(err)
	}
	second := make(chan access.Leavers, 1)
	go func() {
		left, err := c.store().QueueRevocations(t.Context(), gone[1:], time.Hour)
		if err != nil {
			t.Error(err)
		}
		second <- left
	}()
	for waits := false; !waits; time.Sleep(5 * time.Millisecond) { // a lock that is waited for has no event
		if err := tx.QueryRow(t.Context(), `select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%queue_revocations%')
			from pg_stat_clear_snapshot()`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if len(second) > 0 {
			break
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	left := <-second
	if slices.Sort(left.Known); len(left.Users) != 0 || !slices.Equal(left.Known, []string{user1, user2}) {
		t.Errorf("the second relay goes on behind %+v", left)
	}
}

// The revocation by hand has the shape of the attached table's rows.
func TestRevokeLooksLikeADeletion(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	c.Exec(`select roomcast.revoke($1, $2)`, roomA, user1)
	c.Exec(`create table seats (space bigint, who uuid)`)
	c.Exec(`select roomcast.detach('room_participants'), roomcast.attach_members('seats', 'space', 'who')`)
	c.Exec(`select roomcast.revoke('9007199254740993', $1)`, user1)
	rooms := c.Claim("r")
	rows := append(rooms[roomA].Rows, rooms["9007199254740993"].Rows...)
	var got []string
	for _, row := range rows {
		got = append(got, string(row.Change.Op)+" "+string(row.Change.Kind)+" "+string(row.Change.Record))
	}
	got = got[1:]
	want := []string{
		`DELETE members {"room_id": "` + roomA + `", "user_id": "` + user1 + `"}`,
		`DELETE members {"who": "` + user1 + `", "space": 9007199254740993}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Without a members table at all there is still something to say.
func TestRevokeWithoutMembersTable(t *testing.T) {
	c := newChat(t)
	c.Exec(`delete from roomcast.attached_tables where relation = 'room_participants'::regclass`)
	c.Exec(`select roomcast.revoke('lobby', $1)`, user1)
	if users := c.queue(c.departures(), 0); !slices.Equal(users, []string{user1}) {
		t.Errorf("queued %v", users)
	}
}

// A cut that was under way when the user was revoked again does not count, and one
// that failed is tried again.
func TestCutTooEarlyDoesNotCount(t *testing.T) {
	c := newChat(t)
	revoke := func(grace time.Duration) {
		c.Exec(`select roomcast.revoke('lobby', $1)`, user1)
		c.queue(c.departures(), grace)
	}
	revoke(0)
	first := c.claimRevocations()
	revoke(0)
	c.settle(first[0], 0)
	second := c.claimRevocations()
	if len(second) != 1 || second[0].Tries != 1 {
		t.Fatalf("the second revocation was lost: %v", second)
	}
	c.settle(second[0], time.Nanosecond)
	third := c.claimRevocations()
	if len(third) != 1 || third[0].Tries != 2 {
		t.Fatalf("a failed attempt was not repeated: %v", third)
	}
	c.settle(third[0], time.Hour)
	if len(c.claimRevocations()) != 0 || one[bool](c, `select roomcast.has_waiting()`) {
		t.Error("an attempt put off for an hour is due, or keeps the relay awake")
	}
	revoke(time.Hour) // settles late, yet does not put off what is due
	c.Exec(`update roomcast.revocations set due = now()`)
	early := c.claimRevocations()
	c.settle(early[0], 0)
	if n := one[int](c, `select count(*) from roomcast.revocations where due > now() + '50 minutes'`); n != 1 {
		t.Error("a disconnect before the revocation was confirmed ended it")
	}
}

func TestSweepWakesForRevocations(t *testing.T) {
	c := newChat(t)
	c.Exec(`select roomcast.configure(url => 'https://app.fly.dev/webhooks/supabase', secret => 'sweep-secret-of-32-characters-00')`)
	c.Exec(`insert into roomcast.revocations values ($1, now(), now())`, user1)
	if !one[bool](c, `select roomcast.sweep()`) {
		t.Error("no wake-up for a user who is to be disconnected")
	}
}

// recheck asks can_read at commit, with what the database knows of the user.
func TestRecheck(t *testing.T) {
	c := newChat(t)
	c.Exec(`create table bans (room_id uuid, user_id uuid)`)
	c.Exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language plpgsql stable set search_path = '' as $$
		begin
		  if claims ->> 'role' <> 'authenticated' or claims ->> 'sub' <> $2::text then raise exception 'not this user''s claims'; end if;
		  return not exists (select from public.bans b where b.room_id::text = $1 and b.user_id = $2);
		end $$`)
	c.Exec(`select roomcast.recheck_on('bans')`)
	c.Exec(`insert into bans values ($1, $2)`, roomA, user1)
	if got, want := c.departures(), []access.Departure{{Room: roomA, Seq: 1}}; !slices.Equal(got, want) {
		t.Fatalf("a ban: %v, want %v", got, want)
	}
	c.Exec(`begin`)
	c.Exec(`insert into bans values ($1, $2)`, roomB, user2)
	c.Exec(`delete from bans where user_id = $1`, user2)
	c.Exec(`commit`)
	c.Exec(`delete from bans`)
	if got := c.departures(); got != nil {
		t.Errorf("who may still read was revoked: %v", got)
	}
	c.Exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language plpgsql as $$ begin raise exception 'broken'; end $$`)
	c.Exec(`insert into bans values ($1, $2)`, roomA, user1) // and does not fail
	if got := c.departures(); len(got) != 1 {
		t.Errorf("can_read is broken: departures %v, want one", got)
	}
	if err := refused(c, `select roomcast.recheck_on('bans', 'space')`); err == nil {
		t.Error("recheck_on took a column that is not there")
	}
}

func refused(c *chat, sql string) error {
	_, err := c.Conn.Exec(c.Context(), sql)
	return err
}

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

// The columns that recheck_on reads may be arrays, and no other column matters (M3, D2).
func TestRecheckOfArrays(t *testing.T) {
	c := newChat(t)
	c.Exec(`create table sanctions (id int, rooms text[], users uuid[], note json)`)
	c.Exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language sql stable set search_path = pg_catalog, pg_temp as $$ select false $$`)
	c.Exec(`select roomcast.recheck_on('sanctions', room_column => 'rooms', user_column => 'users')`)
	c.Exec(`insert into sanctions values (1, array[$1, $2], array[$3, $4]::uuid[], '{"a":"\u0000"}')`, roomA, roomB, user1, user2)
	if got := len(c.departures()); got != 4 {
		t.Errorf("%d departures, want each user's from each room", got)
	}
	c.Exec(`update sanctions set users = array[$1]::uuid[], note = '[1e400000]'`, user1)
	c.departures()
	// What names nobody takes nobody else's check with it.
	c.Exec(`create table bans (id int primary key, room text, users text[])`)
	c.Exec(`select roomcast.recheck_on('bans', room_column => 'room', user_column => 'users')`)
	c.Exec(`insert into bans values (1, $1, array['everybody', $2, ''])`, roomA, user1)
	if got := len(c.departures()); got != 1 {
		t.Errorf("%d departures, want the one user's", got)
	}
	c.Exec(`delete from sanctions`)
}
