package relay

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher/pushertest"
)

// Each answer that means "later" loses nothing and keeps the order.
func TestTryAgain(t *testing.T) {
	for name, fault := range map[string]pushertest.Fault{
		"500":                {Status: 500, Times: 4},
		"503 retry-after":    {Status: 503, Times: 1, RetryAfter: time.Second},
		"429":                {Status: 429, Times: 2},
		"408":                {Status: 408, Times: 2},
		"reset":              {Reset: true, Times: 3},
		"reset after accept": {ResetAfterAccept: true, Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			injected := s.pusher.Inject(fault)
			for i := range 25 {
				s.insert([]string{roomA, roomB, roomC}[i%3], fmt.Sprint(i))
			}
			s.relay("r").Wake()
			wantInOrder(t, s.waitFor(25))
			if injected.Hits() < fault.Times {
				t.Errorf("the fault hit %d times, want %d", injected.Hits(), fault.Times)
			}
		})
	}
}

// A room that Pusher fails on does not hold up the others, and comes after them.
func TestOneFailingRoom(t *testing.T) {
	s := newStack(t)
	failing := s.pusher.Inject(pushertest.Fault{Channel: "private-room-" + roomA, Status: 500})
	for i := range 60 {
		s.insert([]string{roomA, roomB, roomC}[i%3], fmt.Sprint(i))
	}
	s.relay("r").Wake()
	for _, a := range s.waitFor(40) {
		if a.Channel == "private-room-"+roomA {
			t.Fatal("the failing room got through")
		}
	}
	failing.Remove()
	wantInOrder(t, s.waitFor(60))
}

// A batch that Pusher refuses is taken apart until only the rejected event is left;
// that one is parked and keeps its seq.
func TestOnlyTheRejectedEventIsParked(t *testing.T) {
	for _, status := range []int{400, 413} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := newStack(t)
			s.pusher.Inject(pushertest.Fault{Channel: "private-room-" + roomB, Status: status, Body: "not this one"})
			for i := range 30 {
				s.insert([]string{roomA, roomC}[i%2], fmt.Sprint(i))
			}
			s.insert(roomB, "poison")
			s.relay("r").Wake()
			all := s.waitFor(30)
			wantInOrder(t, all)
			s.until("the poison is parked", func() bool {
				return query[int](s, `select count(*) from roomcast.parked`) == 1 &&
					query[int](s, `select count(*) from roomcast.rooms where sent_seq < head_seq`) == 0
			})
			room := query[string](s, `select room from roomcast.parked`)
			reason := query[string](s, `select reason from roomcast.parked`)
			if room != roomB || !strings.Contains(reason, fmt.Sprint(status)) {
				t.Errorf("parked room %s because %q", room, reason)
			}
		})
	}
}

// until waits for something only the database knows.
func (s *stack) until(what string, done func() bool) {
	s.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("timed out: %s", what)
		}
	}
}

// Room ids no channel can carry, and events too large, do not stop their rooms.
func TestWhatPusherCannotCarry(t *testing.T) {
	s := newStack(t)
	s.exec(`alter table messages alter column room_id type text`)
	long := strings.Repeat("x", 200)
	s.insert(long, "no channel has room for this")
	s.insert(roomA, strings.Repeat("large ", 3000))
	s.insert(roomA, "after it")
	s.relay("r").Wake()
	all := s.waitFor(2)
	wantInOrder(t, all)
	stub := parse(t, all[0])
	if !stub.Roomcast.Stub || stub.Content != "" || stub.ID == "" || len(all[0].Data) > 1000 {
		t.Errorf("the large event was sent as %d bytes: stub %v, id %q", len(all[0].Data), stub.Roomcast.Stub, stub.ID)
	}
	if n := query[int](s, `select count(*) from roomcast.unroutable where reason = 'a room too long for a channel'`); n != 1 {
		t.Errorf("%d unroutable, want the long room's", n)
	}
}

// 401 and 403 are nobody's event's fault: rows wait, and the log says for whom.
func TestRefusals(t *testing.T) {
	for status, want := range map[int]string{401: "PUSHER_SECRET", 403: "quota"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := newStack(t)
			s.pusher.Inject(pushertest.Fault{Status: status})
			lines := make(chan string, 100)
			s.insert(roomA, "secret text of a message")
			s.relay("r", func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(channelWriter(lines), nil)) }).Wake()
			for {
				select {
				case line := <-lines:
					if strings.Contains(line, "secret text") {
						t.Errorf("the log has a message's text: %s", line)
					}
					if !strings.Contains(line, want) {
						continue
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("the log does not mention %q", want)
				}
				break
			}
			if n := query[int](s, `select count(*) from roomcast.parked`); n != 0 {
				t.Errorf("%d events were parked", n)
			}
		})
	}
}

type channelWriter chan string

func (c channelWriter) Write(p []byte) (int, error) {
	select {
	case c <- string(p):
	default:
	}
	return len(p), nil
}

// A dead Pusher costs the database no more than a claim for each backoff step.
func TestDeadPusherCostsFewClaims(t *testing.T) {
	s := newStack(t)
	s.pusher.Inject(pushertest.Fault{Status: http.StatusInternalServerError})
	for i := range 100 {
		s.insert(fmt.Sprintf("00000000-0000-4000-8000-%012d", i%20), fmt.Sprint(i))
	}
	var counted *countingOutbox
	r := s.relay("r", func(c *Config) {
		counted = &countingOutbox{Outbox: c.Outbox}
		c.Outbox = counted
	})
	r.Wake()
	s.until("three pauses", func() bool { _, step := r.health.next(); return step >= 3 })
	if n := counted.claims.Load(); n > 12 {
		t.Errorf("%d claims in three backoff steps", n)
	}
	s.pusher.Clear()
	wantInOrder(t, s.waitFor(100))
}

// While a call to Pusher is under way nothing is claimed but behind a watch, and a message of
// another room is sent.
func TestPollsBesideBusyWorkers(t *testing.T) {
	s := newStack(t)
	hangs := s.pusher.Inject(pushertest.Fault{Channel: "*" + roomA, Hang: true})
	var counted *countingOutbox
	r := s.relay("r", func(c *Config) {
		counted = &countingOutbox{Outbox: c.Outbox}
		c.Outbox = counted
	})
	s.insert(roomA, "hangs")
	r.Wake()
	s.until("the call hangs", func() bool { return hangs.Hits() > 0 })
	claims, watches := counted.claims.Load(), counted.watches.Load()
	s.until("five watches", func() bool { return counted.watches.Load() >= watches+5 })
	// A claim follows each watch, and another where the watch is late.
	if n, most := counted.claims.Load()-claims, 2*(counted.watches.Load()-watches+1); n > most {
		t.Errorf("%d claims beside a call that hangs, want at most %d", n, most)
	}
	s.insert(roomB, "sent meanwhile")
	s.waitFor(1)
	wantInOrder(t, s.pusher.Events())
}

type countingOutbox struct {
	Outbox
	claims, watches atomic.Int64
}

// Await counts.
func (o *countingOutbox) Await(ctx context.Context, patience, every time.Duration) (bool, error) {
	o.watches.Add(1)
	return o.Outbox.Await(ctx, patience, every)
}

// Claim counts.
func (o *countingOutbox) Claim(ctx context.Context, relay string, l outbox.Limits) ([]outbox.Room, error) {
	o.claims.Add(1)
	return o.Outbox.Claim(ctx, relay, l)
}

// AwaitClaim counts, too.
func (o *countingOutbox) AwaitClaim(ctx context.Context, patience, every time.Duration, relay string, l outbox.Limits) ([]outbox.Room, error) {
	o.claims.Add(1)
	return o.Outbox.AwaitClaim(ctx, patience, every, relay, l)
}

// Every kind of channel that carries a room's events gets each of them, in one batch;
// presence beside private carries none.
func TestSeveralChannels(t *testing.T) {
	s := newStack(t)
	for i := range 20 {
		s.insert(roomA, fmt.Sprint(i))
	}
	s.relay("r", func(c *Config) {
		c.Channels = []event.ChannelKind{event.Private, event.Presence, event.Public}
	}).Wake()
	all := s.waitFor(40)
	wantInOrder(t, all)
	got := map[string]int{}
	for _, a := range all {
		got[a.Channel]++
	}
	want := map[string]int{"private-room-" + roomA: 20, "room-" + roomA: 20}
	if !maps.Equal(got, want) {
		t.Errorf("events by channel: %v, want %v", got, want)
	}
}

// While Pusher refuses everything, what is written gets its number all the same: pages
// fetch it meanwhile, and only what has a number is in a room's history.
func TestRowsAreNumberedWhilePusherRefuses(t *testing.T) {
	s := newStack(t)
	s.pusher.Inject(pushertest.Fault{Status: http.StatusForbidden})
	r := s.relay("r")
	s.insert(roomA, "refused")
	r.Wake()
	s.until("the relay leaves Pusher alone", func() bool { return r.health.paused() })
	s.insert(roomA, "written meanwhile")
	s.until("both have their numbers", func() bool {
		return query[int](s, `select coalesce(max(head_seq), 0) from roomcast.rooms`) == 2
	})
}
