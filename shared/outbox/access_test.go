package outbox_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/outbox"
)

// departures claims all there is, acks it, and names the seqs of deletions of members.
func (c *chat) departures() (gone []outbox.Departure) {
	c.Helper()
	rooms := c.claim("r")
	c.ackAll(rooms)
	for _, room := range rooms {
		for _, row := range room.Rows {
			if row.Change.Kind == "members" && row.Change.Op == "DELETE" {
				gone = append(gone, outbox.Departure{Room: room.ID, Seq: row.Seq})
			}
		}
	}
	slices.SortFunc(gone, func(a, b outbox.Departure) int { return int(a.Seq - b.Seq) })
	return gone
}

func (c *chat) queue(gone []outbox.Departure, grace time.Duration) []string {
	c.Helper()
	users, err := c.db.QueueCuts(c.Context(), gone, grace)
	if err != nil {
		c.Fatal(err)
	}
	slices.Sort(users)
	return users
}

func (c *chat) claimCuts() []outbox.Cut {
	c.Helper()
	cuts, err := c.db.ClaimCuts(c.Context(), 10, time.Minute)
	if err != nil {
		c.Fatal(err)
	}
	return cuts
}

func (c *chat) settle(cut outbox.Cut, wait time.Duration) {
	c.Helper()
	if err := c.db.SettleCuts(c.Context(), []outbox.SettledCut{{Cut: cut, Wait: wait}}); err != nil {
		c.Fatal(err)
	}
}

// A membership row that goes, a moved one, and a revocation by hand are departures;
// one row per user waits, and goes when the user was cut.
func TestCuts(t *testing.T) {
	c := newChat(t)
	c.exec(`insert into room_participants (room_id, user_id) values ($1, $3), ($1, $4), ($2, $3)`, roomA, roomB, user1, user2)
	c.exec(`delete from room_participants where user_id = $1`, user1)
	c.exec(`update room_participants set room_id = $1`, roomB)
	c.exec(`select roomcast.revoke('lobby', $1)`, user2)
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
	cuts := c.claimCuts()
	if len(cuts) != 2 || cuts[0].Tries != 1 || len(c.claimCuts()) != 0 {
		t.Fatalf("claimed %v", cuts)
	}
	for _, cut := range cuts {
		c.settle(cut, 0)
	}
	if n := one[int](c, `select count(*) from roomcast.revocations`); n != 0 {
		t.Errorf("%d users are still to be cut", n)
	}
}

// The revocation by hand has the shape of the attached table's rows.
func TestRevokeLooksLikeADeletion(t *testing.T) {
	c := newChat(t)
	c.exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	c.exec(`select roomcast.revoke($1, $2)`, roomA, user1)
	c.exec(`create table seats (space bigint, who uuid)`)
	c.exec(`select roomcast.detach('room_participants'), roomcast.attach_members('seats', 'space', 'who')`)
	c.exec(`select roomcast.revoke('9007199254740993', $1)`, user1)
	rooms := c.claim("r")
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
	c.exec(`delete from roomcast.sources where relation = 'room_participants'::regclass`)
	c.exec(`select roomcast.revoke('lobby', $1)`, user1)
	if users := c.queue(c.departures(), 0); !slices.Equal(users, []string{user1}) {
		t.Errorf("queued %v", users)
	}
}

// A cut that was under way when the user was revoked again does not count, and one
// that failed is tried again.
func TestCutTooEarlyDoesNotCount(t *testing.T) {
	c := newChat(t)
	revoke := func(grace time.Duration) {
		c.exec(`select roomcast.revoke('lobby', $1)`, user1)
		c.queue(c.departures(), grace)
	}
	revoke(0)
	first := c.claimCuts()
	revoke(0)
	c.settle(first[0], 0)
	second := c.claimCuts()
	if len(second) != 1 || second[0].Tries != 1 {
		t.Fatalf("the second revocation was lost: %v", second)
	}
	c.settle(second[0], time.Nanosecond)
	third := c.claimCuts()
	if len(third) != 1 || third[0].Tries != 2 {
		t.Fatalf("a failed attempt was not repeated: %v", third)
	}
	c.settle(third[0], time.Hour)
	if len(c.claimCuts()) != 0 || one[bool](c, `select roomcast.has_waiting()`) {
		t.Error("an attempt put off for an hour is due, or keeps the relay awake")
	}
	revoke(time.Hour) // settles late, yet does not put off what is due
	c.exec(`update roomcast.revocations set due = now()`)
	early := c.claimCuts()
	c.settle(early[0], 0)
	if n := one[int](c, `select count(*) from roomcast.revocations where due > now() + '50 minutes'`); n != 1 {
		t.Error("a cut before the revocation settled ended it")
	}
}

func TestSweepRingsForCuts(t *testing.T) {
	c := newChat(t)
	c.exec(`select roomcast.configure(url => 'https://app.fly.dev/webhooks/supabase', secret => 'sweep-secret')`)
	c.exec(`insert into roomcast.revocations values ($1, now(), now())`, user1)
	if !one[bool](c, `select roomcast.sweep()`) {
		t.Error("no bell for a user who is to be cut")
	}
}

// recheck asks can_read at commit, with what the database knows of the user.
func TestRecheck(t *testing.T) {
	c := newChat(t)
	c.exec(`create table bans (room_id uuid, user_id uuid)`)
	c.exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language plpgsql stable set search_path = '' as $$
		begin
		  if claims ->> 'role' <> 'authenticated' or claims ->> 'sub' <> $2::text then raise exception 'not this user''s claims'; end if;
		  return not exists (select from public.bans b where b.room_id::text = $1 and b.user_id = $2);
		end $$`)
	c.exec(`select roomcast.recheck_on('bans')`)
	c.exec(`insert into bans values ($1, $2)`, roomA, user1)
	if got, want := c.departures(), []outbox.Departure{{Room: roomA, Seq: 1}}; !slices.Equal(got, want) {
		t.Fatalf("a ban: %v, want %v", got, want)
	}
	c.exec(`begin`)
	c.exec(`insert into bans values ($1, $2)`, roomB, user2)
	c.exec(`delete from bans where user_id = $1`, user2)
	c.exec(`commit`)
	c.exec(`delete from bans`)
	if got := c.departures(); got != nil {
		t.Errorf("who may still read was revoked: %v", got)
	}
	c.exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language plpgsql as $$ begin raise exception 'broken'; end $$`)
	c.exec(`insert into bans values ($1, $2)`, roomA, user1) // and does not fail
	if got := c.departures(); len(got) != 1 {
		t.Errorf("can_read is broken: departures %v, want one", got)
	}
	if err := refused(c, `select roomcast.recheck_on('bans', 'space')`); err == nil {
		t.Error("recheck_on took a column that is not there")
	}
}

func refused(c *chat, sql string) error {
	_, err := c.conn.Exec(c.Context(), sql)
	return err
}

// Many questions at once get the answers that one by one would get.
func TestCanReadAll(t *testing.T) {
	c := newChat(t)
	c.exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	ask := func(rooms ...string) ([]bool, error) {
		users, claims := make([]string, len(rooms)), make([][]byte, len(rooms))
		for i := range rooms {
			users[i], claims[i] = user1, []byte(`{"quoted": "\"{},\\"}`)
		}
		return c.db.CanReadAll(t.Context(), rooms, users, claims)
	}
	got, err := ask(roomB, roomA, `no "uuid", {}`, roomA, "")
	if want := []bool{false, true, false, true, false}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if got, err := ask(); err != nil || len(got) != 0 {
		t.Errorf("nothing asked: %v, %v", got, err)
	}
	c.exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
		language sql as $$ select case room when 'null' then null else 1 / (length(room) - 1) > 0 end $$`)
	if got, err := ask("ab", "null"); err != nil || !slices.Equal(got, []bool{true, false}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := ask("ab", "a"); err == nil {
		t.Error("no error though one question fails")
	}
}

func TestMemberInfo(t *testing.T) {
	c := newChat(t)
	if _, known, err := c.db.MemberInfo(t.Context(), roomA, user1, []byte(`{}`)); known || err != nil {
		t.Errorf("without a function: known %v, %v", known, err)
	}
	c.exec(`create function roomcast.member_info(room text, user_id uuid, claims jsonb) returns jsonb
		language sql as $$ select case when room = 'r' then jsonb_build_object('name', claims->>'email', 'n', 1) end $$`)
	info, known, err := c.db.MemberInfo(t.Context(), "r", user1, []byte(`{"email":"a@b"}`))
	if want := map[string]any{"name": "a@b", "n": float64(1)}; err != nil || !known || !cmp.Equal(info, want) {
		t.Errorf("info %v, known %v, %v", info, known, err)
	}
	if info, known, err := c.db.MemberInfo(t.Context(), "other", user1, []byte(`{}`)); err != nil || !known || len(info) != 0 {
		t.Errorf("null: %v, known %v, %v", info, known, err)
	}
}

func TestPresence(t *testing.T) {
	c := newChat(t)
	start := time.Now().Truncate(time.Millisecond)
	note := func(after time.Duration, announce bool, said ...outbox.Presence) []outbox.Presence {
		t.Helper()
		changed, err := c.db.NotePresence(t.Context(), said, start.Add(after), announce)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	in, out := outbox.Presence{Room: "r", UserID: "u", Online: true}, outbox.Presence{Room: "r", UserID: "u"}
	other := outbox.Presence{Room: "r", UserID: "v", Online: true}
	for i, tc := range []struct {
		after    time.Duration
		said     []outbox.Presence
		announce bool
		want     []outbox.Presence
	}{
		{0, []outbox.Presence{in, other}, true, []outbox.Presence{in, other}},
		{0, []outbox.Presence{in, other}, true, []outbox.Presence{}},                                                 // a repeat
		{-time.Second, []outbox.Presence{out}, true, []outbox.Presence{}},                                            // overtaken
		{2 * time.Second, []outbox.Presence{out}, true, []outbox.Presence{out}},                                      //
		{time.Second, []outbox.Presence{in}, true, []outbox.Presence{}},                                              // late, and older than the leaving
		{3 * time.Second, []outbox.Presence{in}, false, []outbox.Presence{in}},                                       //
		{2500 * time.Millisecond, []outbox.Presence{{Room: "r"}}, true, []outbox.Presence{{Room: "r", UserID: "v"}}}, // vacated before u came back
		{4 * time.Second, []outbox.Presence{{Room: "r"}, other}, true, []outbox.Presence{out, other}},
		{5 * time.Second, []outbox.Presence{{Room: "empty"}}, true, []outbox.Presence{}},
	} {
		if diff := cmp.Diff(tc.want, note(tc.after, tc.announce, tc.said...)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
	var events []string
	for _, row := range c.claim("r")["r"].Rows {
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
	c.exec(`update roomcast.presence set at = at - interval '2 hours'`)
	if n := one[int](c, `select roomcast.clean_presence()`); n != 1 {
		t.Errorf("forgot %d users, want the one who left", n)
	}
}
