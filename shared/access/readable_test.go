package access_test

import (
	"testing"

	"roomcast/shared/outbox"
)

// A newcomer reads from the time that rows were written, not that of their numbering:
// while the relay was away the one can lie long behind the other.
func TestNewcomersReadFromTheTimeOfWriting(t *testing.T) {
	c := newChat(t)
	c.Exec(`create or replace function roomcast.readable_since(room text, user_id uuid) returns timestamptz language sql stable as $$
		select min(p.joined_at) from public.room_participants p where p.room_id::text = readable_since.room and p.user_id = readable_since.user_id $$`)
	c.Exec(insertMessage, roomA, user2, "before")
	c.Exec(`insert into room_participants (room_id, user_id, joined_at) values ($1, $2, clock_timestamp())`, roomA, user1)
	c.Exec(insertMessage, roomA, user2, "since")
	if rooms := c.Claim("late"); len(rooms) == 0 { // everything is numbered now
		t.Fatal("nothing to claim")
	}
	found, err := c.DB.History(t.Context(), outbox.HistoryQuery{Room: roomA, UserID: user1, Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range found.Changes {
		if change.Position.Seq == 1 {
			t.Errorf("the newcomer reads %s", change.Record)
		}
	}
	if n := len(found.Changes); n == 0 || found.Last != found.Head {
		t.Errorf("%d changes, up to %d of %d: what was written since is missing", n, found.Last, found.Head)
	}
}
