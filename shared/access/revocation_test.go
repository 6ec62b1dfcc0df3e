package access_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/access"
)

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
	claimed, err := c.store().ClaimRevocations(c.Context(), 10, time.Minute)
	if err != nil {
		c.Fatal(err)
	}
	return claimed
}

func (c *chat) confirm(r access.Revocation, wait time.Duration) {
	c.Helper()
	if err := c.store().ConfirmRevocations(c.Context(), []access.Confirmation{{Revocation: r, Wait: wait}}); err != nil {
		c.Fatal(err)
	}
}

// A membership row that goes, a moved one, and a revocation by hand are departures;
// one row per user waits, and goes when the user was disconnected.
func TestRevocations(t *testing.T) {
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
		t.Error("a relay may rest while a user is to be disconnected")
	}
	claimed := c.claimRevocations()
	if len(claimed) != 2 || claimed[0].Tries != 1 || len(c.claimRevocations()) != 0 {
		t.Fatalf("claimed %v", claimed)
	}
	for i, r := range claimed { // the second has failed
		c.confirm(r, time.Duration(i)*time.Hour)
	}
	pending, err := c.store().PendingRevocations(t.Context(), []string{user1, user2, "nobody"})
	if err != nil || !slices.Equal(pending, []string{claimed[1].UserID}) {
		t.Errorf("still to be disconnected: %v, %v; want %v", pending, err, claimed[1].UserID)
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

// A disconnect that was under way when the user was revoked again does not count, and one
// that failed is tried again.
func TestConfirmationTooEarlyDoesNotCount(t *testing.T) {
	c := newChat(t)
	revoke := func(grace time.Duration) {
		c.Exec(`select roomcast.revoke('lobby', $1)`, user1)
		c.queue(c.departures(), grace)
	}
	revoke(0)
	first := c.claimRevocations()
	revoke(0)
	c.confirm(first[0], 0)
	second := c.claimRevocations()
	if len(second) != 1 || second[0].Tries != 1 {
		t.Fatalf("the second revocation was lost: %v", second)
	}
	c.confirm(second[0], time.Nanosecond)
	third := c.claimRevocations()
	if len(third) != 1 || third[0].Tries != 2 {
		t.Fatalf("a failed attempt was not repeated: %v", third)
	}
	c.confirm(third[0], time.Hour)
	if len(c.claimRevocations()) != 0 || one[bool](c, `select roomcast.has_waiting()`) {
		t.Error("an attempt put off for an hour is due, or keeps the relay awake")
	}
	revoke(time.Hour) // settles late, yet does not put off what is due
	c.Exec(`update roomcast.revocations set due = now()`)
	early := c.claimRevocations()
	c.confirm(early[0], 0)
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
