package relay

import (
	"context"
	"slices"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher/pushertest"
)

const user1, user2 = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"

// cutting records whom the relay has had cut off, by the real client.
type cutting struct {
	Terminator
	called chan string // every call, before it is made
	cut    chan string // those that Pusher confirmed
	forgot chan string
	result chan string
}

// cuts gives a relay a Terminator and returns what it does.
func (s *stack) cuts() (*cutting, func(*Config)) {
	c := &cutting{Terminator: s.client(), called: make(chan string, 100), cut: make(chan string, 100), forgot: make(chan string, 100), result: make(chan string, 100)}
	return c, func(cfg *Config) {
		cfg.Cuts = Cuts{Terminator: c, Forget: func(user string) { c.forgot <- user }, Observe: func(result string) { c.result <- result }}
	}
}

func (c *cutting) TerminateUser(ctx context.Context, userID string) error {
	c.called <- userID
	err := c.Terminator.TerminateUser(ctx, userID)
	if err == nil {
		c.cut <- userID
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

func (s *stack) waitForName(name string) pushertest.Accepted {
	s.Helper()
	is := func(a pushertest.Accepted) bool { return a.Name == name }
	all := s.wait(name, func(all []pushertest.Accepted) bool { return slices.ContainsFunc(all, is) })
	return all[slices.IndexFunc(all, is)]
}

// Whoever leaves is forgotten at once and cut off when the grace is over, behind
// user-left and within two seconds of the commit; whoever stays is left alone.
func TestCutBehindUserLeft(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1, user2)
	c, with := s.cuts()
	s.relay("r", with).Wake()
	s.waitFor(2)
	s.exec(`delete from room_participants where user_id = $1`, user1)
	committed := time.Now()
	left := s.waitForName(event.UserLeft)
	if user := next(t, c.forgot); user != user1 {
		t.Errorf("forgot %s", user)
	}
	if user := next(t, c.cut); user != user1 {
		t.Errorf("cut %s", user)
	}
	cut := time.Now()
	if took := cut.Sub(committed); took > 2*time.Second {
		t.Errorf("cut %v after the commit, want at most 2s", took)
	}
	if grace := cut.Sub(left.At); grace < CutGrace-50*time.Millisecond {
		t.Errorf("cut %v after user-left, before the grace is over", grace)
	}
	if result := next(t, c.result); result != "accepted" || len(c.called) != 1 {
		t.Errorf("result %s after %d calls", result, len(c.called))
	}
	s.untilSQL("the revocation is over", `select not exists (select from roomcast.revocations)`)
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

// A relay that dies between user-left and the cut, wherever that finds it, leaves it
// to the next.
func TestCutSurvivesTheRelay(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1)
	made := s.relay("first", func(c *Config) {
		c.Cuts.Terminator = terminatorFunc(func(string) error { return context.DeadlineExceeded })
	})
	made.Wake()
	s.waitFor(1)                                    // it runs, and so can be drained
	if err := made.Drain(t.Context()); err != nil { // its like is to run under a context of ours
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(t.Context())
	first := New(made.Config)
	died := make(chan struct{})
	go func() {
		first.Run(ctx)
		close(died)
	}()
	first.Wake()
	s.exec(`delete from room_participants`)
	s.untilSQL("the cut is queued", `select exists (select from roomcast.revocations)`)
	kill()
	<-died
	s.exec(`update roomcast.revocations set due = now()`) // no need to wait for a dead relay's lease
	c, with := s.cuts()
	s.relay("second", with)
	if user := next(t, c.cut); user != user1 {
		t.Errorf("cut %s", user)
	}
}

// Pusher takes events but no terminations: the room goes on, and the user is cut as
// soon as that works again.
func TestFailingCutHoldsUpNothing(t *testing.T) {
	s := newStack(t)
	s.join(roomA, user1, user2)
	fault := s.pusher.Inject(pushertest.Fault{Path: "/apps/*/users/*/terminate_connections", Status: 500})
	c, with := s.cuts()
	s.relay("r", with).Wake()
	s.exec(`delete from room_participants where user_id = $1`, user1)
	for range 2 {
		next(t, c.called)
	}
	s.insert(roomA, "life goes on")
	s.waitForName(event.NewMessage)
	s.exec(`delete from room_participants where user_id = $1`, user2)
	for next(t, c.called) != user2 {
	}
	fault.Remove()
	users := []string{next(t, c.cut), next(t, c.cut)}
	slices.Sort(users)
	if !slices.Equal(users, []string{user1, user2}) {
		t.Errorf("cut %v", users)
	}
	s.untilSQL("both revocations are over", `select not exists (select from roomcast.revocations)`)
}

// What Pusher can never do is given up, so that it keeps nobody awake.
func TestImpossibleCutIsGivenUp(t *testing.T) {
	s := newStack(t)
	s.exec(`insert into roomcast.revocations (user_id, confirmable_at, due) values ('no id of Pusher''s', now(), now())`)
	c, with := s.cuts()
	s.relay("r", with)
	if result := next(t, c.result); result != "given up" {
		t.Errorf("result %s", result)
	}
	s.untilSQL("it is forgotten", `select not exists (select from roomcast.revocations)`)
}

// A relay that must leave cuts first; so does one that only runs within a request.
func TestCutBeforeLeaving(t *testing.T) {
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
			c, with := s.cuts()
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
			if len(c.cut) != 1 {
				t.Errorf("%d users were cut before it left, want 1", len(c.cut))
			}
			if query[bool](s, `select exists (select from roomcast.revocations)`) {
				t.Error("the revocation was left behind")
			}
		})
	}
}

type terminatorFunc func(user string) error

func (f terminatorFunc) TerminateUser(_ context.Context, user string) error { return f(user) }
