package access_test

import (
	"fmt"
	"testing"
)

// unread is what user1's inbox says of a room: read, unread.
func (c *chat) unread(room string) string {
	c.Helper()
	c.AckAll(c.Claim("r"))
	rooms, err := c.store().Inbox(c.Context(), user1, []byte(`{}`))
	if err != nil {
		c.Fatal(err)
	}
	for _, r := range rooms {
		if r.Room == room {
			return fmt.Sprintf("read %d of %d, %d unread", r.Read, r.Head, r.Unread)
		}
	}
	return "not there"
}

func (c *chat) wantUnread(what, want string) {
	c.Helper()
	if got := c.unread(roomA); got != want {
		c.Errorf("%s: %s, want %s", what, got, want)
	}
}

func (c *chat) markRead(seq int64) {
	c.Helper()
	if err := c.store().MarkRead(c.Context(), roomA, user1, seq); err != nil {
		c.Fatal(err)
	}
}

// Unread messages are counted from the numbers, whatever becomes of them: edited, deleted
// one by one, in bulk, and when the retention has taken their rows.
func TestUnread(t *testing.T) {
	c := newChat(t)
	c.wantUnread("no member", "not there")
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1) // seq 1
	for i := range 5 {                                                                       // 2 to 6
		c.Exec(insertMessage, roomA, user2, fmt.Sprint("m", i))
	}
	c.wantUnread("five messages", "read 0 of 6, 5 unread")
	c.Exec(`update messages set content = 'edited' where content = 'm1'`) // 7
	c.wantUnread("one edited", "read 0 of 7, 5 unread")
	c.Exec(`delete from messages where content = 'm0'`) // 8
	c.wantUnread("one deleted", "read 0 of 8, 4 unread")
	c.markRead(4) // m0 to m2
	c.wantUnread("read up to the third", "read 4 of 8, 2 unread")
	c.markRead(2)
	c.wantUnread("never back", "read 4 of 8, 2 unread")
	c.markRead(1 << 40)
	c.wantUnread("never beyond the head", "read 8 of 8, 0 unread")
	for i := range 4 { // 9 to 12
		c.Exec(insertMessage, roomA, user2, fmt.Sprint("n", i))
	}
	c.wantUnread("four more", "read 8 of 12, 4 unread")

	c.clean()
	if n := one[int](c, `select count(*) from roomcast.outbox`); n != 0 {
		t.Fatalf("%d rows are kept", n)
	}
	c.wantUnread("the retention took the rows", "read 8 of 12, 4 unread")
	c.Exec(`delete from messages where content = 'n0'`) // 13
	c.wantUnread("an old one deleted", "read 8 of 13, 3 unread")
	c.clean()
	c.wantUnread("and its deletion is old, too", "read 8 of 13, 3 unread")
	c.Exec(`update roomcast.settings set bulk = 1`)
	c.Exec(`delete from messages where content like 'n%'`) // 14, a bulk change
	c.Exec(`select roomcast.scrub_queued(1000)`)
	c.wantUnread("the rest deleted in bulk", "read 8 of 14, 0 unread")
	c.Exec(`insert into messages (room_id, content) select $1, 'x' from generate_series(1, 2000)`, roomA)
	c.Exec(`update roomcast.settings set bulk = 10000`)
	c.Exec(`insert into messages (room_id, content) select $1, 'x' from generate_series(1, 2000)`, roomA)
	if got := c.unread(roomA); got[len(got)-len("1000 unread"):] != "1000 unread" {
		t.Errorf("two thousand: %s", got)
	}
	c.clean()
	if n := one[int](c, `select count(*) from roomcast.old_messages`); n > 1000 {
		t.Errorf("%d old messages are kept", n)
	}
	c.Exec(`update roomcast.rooms set epoch = 'other'`)
	if got := c.unread(roomA); got[:len("read 0")] != "read 0" {
		t.Errorf("under another epoch: %s", got)
	}
}

// clean makes everything old and lets the retention take it.
func (c *chat) clean() {
	c.Helper()
	c.AckAll(c.Claim("r"))
	c.Exec(`update roomcast.seq_ranges set at = at - interval '2 days'`)
	if _, err := c.DB.Clean(c.Context(), 10_000); err != nil {
		c.Fatal(err)
	}
}

// A room that can_read refuses is not listed, nor counted.
func TestInboxAsksCanRead(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $3), ($2, $3)`, roomA, roomB, user1)
	c.Exec(`create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean language sql as $$ select room = '` + roomB + `' $$`)
	if got := c.unread(roomA); got != "not there" {
		t.Errorf("a room that may not be read: %s", got)
	}
	if got := c.unread(roomB); got == "not there" {
		t.Error("a room that may be read is missing")
	}
	users, err := c.store().Members(c.Context(), roomA)
	if err != nil || len(users) != 1 || users[0] != user1 {
		t.Errorf("members %v, %v", users, err)
	}
	if users, err := c.store().Members(c.Context(), "no uuid"); err != nil || len(users) != 0 {
		t.Errorf("members of no room: %v, %v", users, err)
	}
}
