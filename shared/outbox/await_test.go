package outbox_test

import (
	"testing"
	"time"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// await asks in the background, patiently.
func (c *chat) await() <-chan bool {
	answer := make(chan bool, 1)
	go func() {
		waits, err := c.DB.Await(c.Context(), time.Minute, time.Millisecond)
		if err != nil {
			c.Error(err)
		}
		answer <- waits
	}()
	return answer
}

func TestAwait(t *testing.T) {
	c := newChat(t)
	if waits, err := c.DB.Await(t.Context(), 3*time.Millisecond, time.Millisecond); err != nil || waits {
		t.Errorf("nothing waits, but the answer is %v, %v", waits, err)
	}

	// A row committed while it waits; and one whose transaction was open at the last
	// numbering, and commits behind it.
	other := outboxtest.Connect(t, c.URL)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "late"); err != nil {
		t.Fatal(err)
	}
	answer := c.await()
	c.Exec(insertMessage, roomA, user1, "early")
	if !<-answer {
		t.Error("a committed row was not heard of")
	}
	c.AckAll(c.Claim("r"))
	answer = c.await()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !<-answer {
		t.Error("a row that committed late was not heard of")
	}

	// A room that is due again counts; one under lease does not.
	c.Claim("r")
	if waits, err := c.DB.Await(t.Context(), 0, time.Millisecond); err != nil || waits {
		t.Errorf("a room under lease: %v, %v", waits, err)
	}
	c.Exec(`update roomcast.rooms set due = now(), attention = now()`)
	if waits, err := c.DB.Await(t.Context(), 0, time.Millisecond); err != nil || !waits {
		t.Errorf("a room that is due: %v, %v", waits, err)
	}
	if rooms, err := c.DB.Claim(t.Context(), "r", outbox.Limits{Rows: 10, PerRoom: 10, Lease: time.Minute}); err != nil || len(rooms) != 1 {
		t.Errorf("await leased what it saw: %v, %v", rooms, err)
	}
}
