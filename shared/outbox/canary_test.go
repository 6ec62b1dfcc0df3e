package outbox_test

import (
	"sync"
	"testing"
	"time"

	"roomcast/shared/outbox"
)

// The canary's row: none while nobody polls, one a minute whatever the number of relays,
// none while the last still waits, and none that asks for a wake-up.
func TestCanary(t *testing.T) {
	c := newChat(t)
	db := c.DB
	write := func() int64 {
		t.Helper()
		n, wait, err := db.Canary(c.Context())
		if err != nil || wait <= 0 || wait > time.Minute {
			t.Fatalf("wait %s, %v", wait, err)
		}
		return n
	}
	if n := write(); n != 0 {
		t.Error("a canary was written while nobody polls")
	}
	if err := db.StartAwake(c.Context(), 30*time.Second, ""); err != nil {
		t.Fatal(err)
	}
	var written sync.Map
	var relays sync.WaitGroup
	for range 4 {
		relays.Go(func() {
			if n, _, err := db.Canary(c.Context()); err != nil {
				t.Error(err)
			} else if n != 0 {
				written.Store(n, true)
			}
		})
	}
	relays.Wait()
	if n := one[int](c, `select count(*)::int from roomcast.outbox where room = '@canary' and not wants_wakeup`); n != 1 {
		t.Errorf("%d canaries of four relays", n)
	}
	aMinuteAgo := func() { c.Exec(`select roomcast.set_clock('roomcast.canary_written', now() - interval '61 seconds')`) }
	rooms, err := db.Claim(c.Context(), "relay", outbox.Limits{Rows: 10, PerRoom: 10, Lease: time.Minute})
	if err != nil || len(rooms) != 1 || len(rooms[0].Rows) != 1 || rooms[0].Rows[0].Change.Name != "canary" {
		t.Fatalf("claimed %+v, %v", rooms, err)
	}
	aMinuteAgo()
	if n := write(); n != 0 {
		t.Error("a second one was written while the first waits")
	}
	if _, err := db.Ack(c.Context(), []outbox.Ack{{Room: rooms[0].ID, Fence: rooms[0].Fence, Seq: rooms[0].Rows[0].Seq}}); err != nil {
		t.Fatal(err)
	}
	if n := write(); n == 0 {
		t.Error("no canary after a minute")
	}
	c.Exec(`select roomcast.set_clock('roomcast.awake_until', now() - interval '1 second')`)
	aMinuteAgo()
	if n := write(); n != 0 {
		t.Error("a canary was written behind the end of the lease")
	}
}
