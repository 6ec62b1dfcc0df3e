package relay

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"roomcast/shared/event"
)

// Thousands who are removed at once are disconnected together, a few at a time.
func TestManyDeparturesAtOnce(t *testing.T) {
	s := newStack(t)
	d, with := s.disconnects()
	s.exec(`update roomcast.settings set bulk = 100000`) // row by row
	s.exec(`insert into room_participants (room_id, user_id) select $1, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid from generate_series(1, 300) i`, roomA)
	s.relay("r", with).Wake()
	s.waitFor(300)
	s.exec(`delete from room_participants where user_id < '00000000-0000-4000-8000-000000000150'`)
	s.insert(roomA, "behind")
	s.waitForName(event.NewMessage)
	if n := len(d.confirmed); n < 149 {
		t.Errorf("%d of 149 were disconnected before the next event", n)
	}
}

// A bulk change of members names nobody, and nobody of them hears the room's next event.
func TestBulkDepartureStopsTheRoom(t *testing.T) {
	s := newStack(t)
	d, with := s.disconnects()
	s.exec(`insert into room_participants (room_id, user_id) select $1, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid from generate_series(1, 300) i`, roomA)
	s.relay("r", with).Wake()
	s.waitForName(event.BulkChange)
	s.exec(`delete from room_participants where user_id <= '00000000-0000-4000-8000-000000000250'`)
	s.insert(roomA, "behind")
	behind := s.waitForName(event.NewMessage, event.Held) // held where a busy machine takes too long for 250
	if n := len(d.confirmed); n < 250 && (behind.Name != event.Held || strings.Contains(behind.Data, "behind")) {
		t.Errorf("%d of 250 were disconnected before %s", n, behind.Data)
	}
}

// Nor while their disconnects fail, however often they are tried: the second attempt finds
// them noted already.
func TestBulkDepartureHoldsWhileDisconnectsFail(t *testing.T) {
	s := newStack(t)
	d, _ := s.disconnects()
	var failing atomic.Bool
	failing.Store(true)
	s.exec(`insert into room_participants (room_id, user_id) select $1, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid from generate_series(1, 210) i`, roomA)
	s.relay("r", func(c *Config) {
		c.Revoker = s.revoker(c, terminatorFunc(func(ctx context.Context, user string) error {
			if failing.Load() {
				return context.DeadlineExceeded
			}
			return d.TerminateUser(ctx, user)
		}), d)
	}).Wake()
	s.waitForName(event.BulkChange)
	s.exec(`delete from room_participants where user_id <= '00000000-0000-4000-8000-000000000205'`)
	s.insert(roomA, "secret")
	s.waitForName(event.Held)
	failing.Store(false)
	for range 205 {
		next(t, d.confirmed)
	}
	for _, a := range s.pusher.Events() {
		if strings.Contains(a.Data, "secret") {
			t.Errorf("heard: %s", a.Data)
		}
	}
}
