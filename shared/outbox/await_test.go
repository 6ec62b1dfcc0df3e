package outbox_test

import (
	"testing"
	"time"

	"roomcast/shared/outbox"
)

// await asks in the background, patiently.
func (c *chat) await() <-chan bool {
	answer := make(chan bool, 1)
	go func() {
		waits, err := c.db.Await(c.Context(), time.Minute, time.Millisecond)
		if err != nil {
			c.Error(err)
		}
		answer <- waits
	}()
	return answer
}

func TestAwait(t *testing.T) {
	c := newChat(t)
	if waits, err := c.db.Await(t.Context(), 3*time.Millisecond, time.Millisecond); err != nil || waits {
		t.Errorf("nothing waits, but the answer is %v, %v", waits, err)
	}

	// A row committed while it waits; and one whose transaction was open at the last
	// numbering, and commits behind it.
	other := connect(t, c.url)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "late"); err != nil {
		t.Fatal(err)
	}
	answer := c.await()
	c.exec(insertMessage, roomA, user1, "early")
	if !<-answer {
		t.Error("a committed row was not heard of")
	}
	c.ackAll(c.claim("r"))
	answer = c.await()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !<-answer {
		t.Error("a row that committed late was not heard of")
	}

	// A room that is due again counts; one under lease does not.
	c.claim("r")
	if waits, err := c.db.Await(t.Context(), 0, time.Millisecond); err != nil || waits {
		t.Errorf("a room under lease: %v, %v", waits, err)
	}
	c.exec(`update roomcast.rooms set due = now()`)
	if waits, err := c.db.Await(t.Context(), 0, time.Millisecond); err != nil || !waits {
		t.Errorf("a room that is due: %v, %v", waits, err)
	}
	if rooms, err := c.db.Claim(t.Context(), "r", outbox.Limits{Rows: 10, PerRoom: 10, Lease: time.Minute}); err != nil || len(rooms) != 1 {
		t.Errorf("await leased what it saw: %v, %v", rooms, err)
	}
}
