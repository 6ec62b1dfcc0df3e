package outbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"roomcast/shared/outbox/outboxtest"
)

func TestRetention(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "old, sent")
	c.Exec(insertMessage, roomB, user1, "old, waiting")
	rooms := c.Claim("r")
	delete(rooms, roomB)
	c.AckAll(rooms)
	c.Exec(`update roomcast.seq_ranges set at = at - interval '25 hours'`)
	c.Exec(insertMessage, roomA, user1, "young")
	c.AckAll(c.Claim("r"))
	if n, err := c.DB.Clean(t.Context(), 100); err != nil || n != 1 {
		t.Errorf("cleaned %d rows, err %v; want 1", n, err)
	}
	left := one[[]string](c, `select array_agg(record::json ->> 'content' order by id) from roomcast.outbox`)
	if want := []string{"old, waiting", "young"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

// A user's DELETE that holds a row makes the retention skip it, not wait for it.
func TestRetentionWaitsForNobody(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "held")
	c.AckAll(c.Claim("r"))
	c.Exec(`update roomcast.seq_ranges set at = at - interval '25 hours'`)
	tx, err := outboxtest.Connect(t, c.URL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `delete from messages`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if n, err := c.DB.Clean(ctx, 100); err != nil || n != 0 {
		t.Errorf("cleaned %d rows, err %v; want 0 at once", n, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.DB.Clean(t.Context(), 100); err != nil || n != 1 {
		t.Errorf("then cleaned %d rows, err %v; want 1", n, err)
	}
}
