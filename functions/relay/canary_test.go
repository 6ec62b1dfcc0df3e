package relay

import (
	"context"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher/pushertest"
)

// A canary is sent once, accepted or not: refused, it is no trouble of Pusher's that pages
// are told of, and no reason to try again or to stay awake.
func TestCanaryIsSentOnce(t *testing.T) {
	s := newStack(t)
	refusing := s.pusher.Inject(pushertest.Fault{Status: 403, Path: "/apps/*/batch_events"})
	s.exec(`select roomcast.start_awake('20 seconds')`)
	s.exec(`select roomcast.canary()`)
	s.exec(`select roomcast.set_clock('roomcast.awake_until', now())`)
	beside := make(chan bool, 10)
	r := s.relay("relay", func(c *Config) {
		c.Linger, c.AwakeLease = 100*time.Millisecond, time.Second
		c.Beside = func(ctx context.Context) {
			beside <- true
			<-ctx.Done()
			beside <- false
		}
	})
	for _, want := range []bool{true, false} { // it wakes, and falls asleep again
		select {
		case is := <-beside:
			if is != want {
				t.Fatalf("awake: %v, want %v", is, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("awake is not %v", want)
		}
	}
	if refusing.Hits() != 1 || r.Trouble() != nil {
		t.Errorf("tried %d times; trouble: %+v", refusing.Hits(), r.Trouble())
	}
	if left := query[int](s, `select count(*)::int from roomcast.rooms where room = $1 and head_seq > sent_seq`, event.CanaryKey); left != 0 {
		t.Error("it still waits")
	}
}

// Canaries count for nothing by which the loop decides to stay awake.
func TestCanariesKeepNothingAwake(t *testing.T) {
	rooms := []outbox.Room{{ID: event.CanaryKey, Rows: make([]outbox.Row, 2)}, {ID: roomA, Rows: make([]outbox.Row, 3)}}
	if n := canariesOf(rooms); n != 2 {
		t.Errorf("%d canaries, want 2", n)
	}
}
