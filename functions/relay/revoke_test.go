package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/functions/revoke"
	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
)

const user1, user2 = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"

// disconnects records whom the relay has had disconnected, by the real client.
type disconnects struct {
	*pusher.Client
	called    chan string // every call, before it is made
	confirmed chan string
	forgot    chan string
	result    chan string
	since     atomic.Pointer[time.Time] // when the first was confirmed
}

// disconnects gives a relay a Revoker and returns what it does.
func (s *stack) disconnects() (*disconnects, func(*Config)) {
	d := &disconnects{Client: s.client(), called: make(chan string, 1000), confirmed: make(chan string, 1000), forgot: make(chan string, 1000), result: make(chan string, 1000)}
	return d, func(c *Config) { c.Revoker = s.revoker(c, d, d) }
}

// revoker makes the Revoker of a relay that is being configured.
func (s *stack) revoker(c *Config, terminator revoke.Terminator, d *disconnects) *revoke.Revoker {
	return revoke.New(revoke.Config{
		Store: access.Store{DB: c.Outbox.(*outbox.DB)}, Terminator: terminator, Log: c.Log,
		Forget: func(user string) { d.forgot <- user }, Observe: func(result string) {
			select {
			case d.result <- result:
			default: // of failures there is no end, and nobody counts them all
			}
		},
	})
}

func (d *disconnects) TerminateUser(ctx context.Context, userID string) error {
	d.called <- userID
	err := d.Client.TerminateUser(ctx, userID)
	if err == nil {
		now := time.Now()
		d.since.CompareAndSwap(nil, &now)
		d.confirmed <- userID
	}
	return err
}

func next(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case user := <-c:
		return user
	case <-time.After(20 * time.Second):
		t.Fatal("it did not happen")
		return ""
	}
}

func (s *stack) join(room string, users ...string) {
	s.Helper()
	for _, user := range users {
		s.exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, room, user)
	}
}

func (s *stack) waitForName(names ...string) pushertest.Accepted {
	s.Helper()
	is := func(a pushertest.Accepted) bool { return slices.Contains(names, a.Name) }
	all := s.wait(strings.Join(names, " or "), func(all []pushertest.Accepted) bool { return slices.ContainsFunc(all, is) })
	return all[slices.IndexFunc(all, is)]
}

// A user who leaves is forgotten and disconnected behind user-left, and before the room's
// next event; then once more when the grace is over. A user who stays is left alone.
func TestDisconnectedBehindUserLeft(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1, user2)
	d, with := s.disconnects()
	s.relay("r", with).Wake()
	s.waitFor(2)
	s.exec(`do $$ begin delete from room_participants where user_id = '` + user1 + `'; insert into messages (room_id, content) values ('` + roomA + `', 'behind'); end $$`)
	committed := time.Now()
	behind := s.waitForName(event.NewMessage)
	if len(d.forgot) != 1 || len(d.confirmed) != 1 {
		t.Fatalf("the room went on with %d users forgotten and %d disconnected", len(d.forgot), len(d.confirmed))
	}
	left := s.waitForName(event.UserLeft)
	if !left.At.Before(behind.At) {
		t.Error("the message came before user-left")
	}
	for range 2 {
		if user := next(t, d.confirmed); user != user1 {
			t.Errorf("disconnected %s", user)
		}
	}
	// How long after the commit is measured by infra/faults: here the machine may be busy.
	if took := time.Since(committed); took < revoke.Grace-50*time.Millisecond {
		t.Errorf("disconnected for the second time %v after the commit, before the grace is over", took)
	}
	s.untilSQL("the revocation is over", `select not exists (select from roomcast.revocations)`)
	if len(d.called) != 2 {
		t.Errorf("%d calls", len(d.called))
	}
}

// opensAgain waits until a disconnect is confirmed, and the room gets content again.
func (s *stack) opensAgain(d *disconnects) {
	s.Helper()
	next(s.T, d.confirmed)
	s.untilSQL("the room is acked", `select not exists (select from roomcast.rooms where sent_seq < head_seq)`)
	s.insert(roomA, "open again")
	s.wait("content in the room", func(all []pushertest.Accepted) bool {
		return slices.ContainsFunc(all, func(a pushertest.Accepted) bool { return strings.Contains(a.Data, "open again") })
	})
}

// untilSQL waits for what has no event: a state of the database.
func (s *stack) untilSQL(what, sql string) {
	s.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !query[bool](s, sql) {
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatal("not so: " + what)
		}
	}
}

// A relay that dies with the disconnect unconfirmed has not acked the departure: the next
// one starts there, and disconnects before it sends what lies behind.
func TestDepartureSurvivesTheRelay(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1)
	d, _ := s.disconnects()
	first := s.relay("first", func(c *Config) {
		c.Claim.Lease = time.Second
		c.Revoker = s.revoker(c, terminatorFunc(func(context.Context, string) error { return context.DeadlineExceeded }), d)
	})
	first.Wake()
	s.waitFor(1)
	s.exec(`delete from room_participants`)
	if result := next(t, d.result); result != "try later" {
		t.Errorf("result %s", result)
	}
	s.waitForName(event.UserLeft)
	if err := first.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if query[bool](s, `select sent_seq = head_seq from roomcast.rooms where room = '`+roomA+`'`) {
		t.Fatal("the departure is acked without a disconnect")
	}
	s.insert(roomA, "behind")
	d, with := s.disconnects()
	s.relay("second", with).Wake()
	s.waitForName(event.NewMessage)
	if len(d.confirmed) == 0 {
		t.Error("the second relay sent what lies behind the departure before it disconnected")
	}
}

// Pusher takes events but no disconnects: the room goes on without content, which its
// members fetch; others are not held up. Content is sent again as soon as it works.
func TestWithoutADisconnectNoContentIsSent(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1, user2)
	fault := s.pusher.Inject(pushertest.Fault{Path: "/apps/*/users/*/terminate_connections", Status: 500})
	d, with := s.disconnects()
	s.relay("r", with).Wake()
	s.waitFor(2)
	s.exec(`delete from room_participants where user_id = $1`, user1)
	for range 2 {
		next(t, d.called)
	}
	s.insert(roomA, "secret")
	s.insert(roomB, "elsewhere")
	elsewhere := s.waitForName(event.NewMessage)
	if elsewhere.Channel != "private-room-"+roomB {
		t.Fatalf("%s in %s", elsewhere.Data, elsewhere.Channel)
	}
	held := s.waitForName(event.Held)
	if d := parse(t, held); !d.Roomcast.Stub || d.Roomcast.Seq != 4 || strings.Contains(held.Data, "secret") || d.ID != "" {
		t.Errorf("held: %s", held.Data)
	}
	fault.Remove()
	s.opensAgain(d)
	for _, a := range s.pusher.Events() {
		if strings.Contains(a.Data, "secret") {
			t.Errorf("heard: %s", a.Data)
		}
	}
	s.untilSQL("the revocation is over", `select not exists (select from roomcast.revocations)`)
}

// Pusher refuses everything while a member is removed and others write on: when it is
// back, the member is disconnected before any of that is heard.
func TestRemovedWhilePusherIsAway(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1, user2)
	d, with := s.disconnects()
	s.relay("r", with).Wake()
	s.waitFor(2)
	fault := s.pusher.Inject(pushertest.Fault{Status: 503})
	s.exec(`delete from room_participants where user_id = $1`, user1)
	for i := range 3 {
		s.insert(roomA, fmt.Sprint("behind ", i))
	}
	s.until("pusher refuses", func() bool { return fault.Hits() > 0 })
	if n := len(d.confirmed); n != 0 {
		t.Fatalf("%d disconnects confirmed by a Pusher that refuses everything", n)
	}
	fault.Remove()
	s.waitForName(event.NewMessage)
	if len(d.confirmed) == 0 {
		t.Error("what was written after the removal was heard before the disconnect")
	}
	wantInOrder(t, s.roomEvents(roomA))
}

// Everything fails in turn: Pusher refuses, the relay is killed, the next one cannot
// disconnect. The former member's connection, which nobody can close, hears no text that was
// written after the removal; the members have it as soon as the disconnect is confirmed.
func TestNothingIsHeardAfterTheRemoval(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1, user2)
	_, with := s.disconnects()
	short := func(c *Config) { c.Claim.Lease = time.Second }
	first, kill := s.start("first", with, short)
	first.Wake()
	s.waitFor(2)
	refusing := s.pusher.Inject(pushertest.Fault{Status: 503})
	s.exec(`delete from room_participants where user_id = $1`, user1)
	s.insert(roomA, "secret, while Pusher refuses")
	s.until("pusher refuses", func() bool { return refusing.Hits() > 0 })
	kill()
	s.insert(roomA, "secret, while no relay runs")
	failing := s.pusher.Inject(pushertest.Fault{Path: "/apps/*/users/*/terminate_connections", Status: 500})
	refusing.Remove()
	d, with := s.disconnects()
	s.relay("second", with, short).Wake()
	s.insert(roomA, "secret, while disconnects fail")
	s.wait("three events without their text", func(all []pushertest.Accepted) bool {
		held := 0
		for _, a := range all {
			if a.Name == event.Held {
				held++
			}
		}
		return held >= 3
	})
	failing.Remove()
	s.opensAgain(d)
	for _, a := range s.pusher.Events() {
		if strings.Contains(a.Data, "secret") && a.At.Before(*d.since.Load()) { // a repeat behind it is nobody's harm
			t.Errorf("heard: %s", a.Data)
		}
	}
}

// roomEvents are the events accepted for a room so far.
func (s *stack) roomEvents(room string) (out []pushertest.Accepted) {
	for _, a := range s.pusher.Events() {
		if a.Channel == "private-room-"+room {
			out = append(out, a)
		}
	}
	return out
}

// The same when only the second disconnect fails.
func TestOverdueSecondDisconnectHoldsTheRoom(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1)
	d, _ := s.disconnects()
	var failing atomic.Bool
	s.relay("r", func(c *Config) {
		c.Revoker = s.revoker(c, terminatorFunc(func(ctx context.Context, user string) error {
			if failing.Load() {
				return context.DeadlineExceeded
			}
			failing.Store(true) // from the second on
			return d.TerminateUser(ctx, user)
		}), d)
	}).Wake()
	s.exec(`delete from room_participants`)
	next(t, d.confirmed)
	for range 2 {
		next(t, d.result)
	}
	s.untilSQL("the second disconnect is overdue", `select clock_timestamp() > confirmable_at + interval '1 second' from roomcast.revocations`)
	s.insert(roomA, "secret")
	if held := s.waitForName(event.Held); strings.Contains(held.Data, "secret") {
		t.Errorf("held: %s", held.Data)
	}
	failing.Store(false)
	next(t, d.confirmed)
}

// A user who may add and remove another in a room of theirs cannot keep them offline.
func TestDisconnectsOfOneUserAreBounded(t *testing.T) {
	s := newStack(t)
	d, with := s.disconnects()
	began := time.Now()
	s.relay("r", with).Wake()
	for i := range 8 {
		s.join(roomA, user1)
		s.exec(`delete from room_participants`)
		s.wait("both in the room", func(all []pushertest.Accepted) bool { // each pair in claims of its own
			seqs := map[int64]bool{}
			for _, a := range all {
				if a.Channel == "private-room-"+roomA {
					seqs[parse(s.T, a).Roomcast.Seq] = true
				}
			}
			return len(seqs) == 2*(i+1)
		})
	}
	s.insert(roomA, "the end")
	s.waitForName(event.Held)
	for len(d.result) > 0 {
		<-d.result
	}
	for next(t, d.result) != "limited" {
	}
	if n, most := len(d.called), 3*(1+int(time.Since(began)/time.Minute)); n > most {
		t.Errorf("disconnected %d times, want at most %d", n, most)
	}
}

// What Pusher can never do is given up, so that it keeps nobody awake.
func TestImpossibleDisconnectIsGivenUp(t *testing.T) {
	s := newStack(t)
	s.exec(`insert into roomcast.revocations (user_id, confirmable_at, due) values ('no id of Pusher''s', now(), now())`)
	d, with := s.disconnects()
	s.relay("r", with)
	if result := next(t, d.result); result != "given up" {
		t.Errorf("result %s", result)
	}
	s.untilSQL("it is forgotten", `select not exists (select from roomcast.revocations)`)
}

// A relay that must leave disconnects first, for the second time too; so does one that
// only runs within a request.
func TestDisconnectedBeforeLeaving(t *testing.T) {
	for name, leave := range map[string]func(*Relay) error{
		"drain": func(r *Relay) error {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			return r.Drain(ctx)
		},
		"empty": func(r *Relay) error { return New(r.Config).Empty(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.join(roomA, user1)
			d, with := s.disconnects()
			r := s.relay("r", with)
			r.Wake()
			s.waitFor(1)
			if name == "empty" { // the loop is not what this is about
				if err := r.Drain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s.exec(`delete from room_participants`)
			if err := leave(r); err != nil {
				t.Fatal(err)
			}
			if len(d.confirmed) != 2 {
				t.Errorf("%d disconnects before it left, want 2", len(d.confirmed))
			}
			if query[bool](s, `select exists (select from roomcast.revocations)`) {
				t.Error("the revocation was left behind")
			}
		})
	}
}

type terminatorFunc func(ctx context.Context, user string) error

func (f terminatorFunc) TerminateUser(ctx context.Context, user string) error { return f(ctx, user) }
