package revoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/pusher"
)

// store is a Store of one's own: every departure's user is named by its room.
type store struct {
	mu        sync.Mutex
	due       map[string]time.Time
	claimed   map[string]bool // and not confirmed
	confirmed []access.Confirmation
	known     []string
	more      bool
	err       error
}

func (s *store) QueueRevocations(_ context.Context, gone []access.Departure, grace time.Duration) (l access.Leavers, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.Known, l.More = s.known, s.more
	for _, g := range gone {
		user := fmt.Sprint("user", g.Seq)
		s.due[user] = time.Now().Add(grace)
		l.Users = append(l.Users, user)
	}
	return l, s.err
}

func (s *store) ClaimRevocations(context.Context, int, time.Duration) (claimed []access.Revocation, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, due := range s.due {
		if time.Now().After(due) {
			claimed = append(claimed, access.Revocation{UserID: user, Tries: 1})
			delete(s.due, user)
			s.claimed[user] = true
		}
	}
	return claimed, s.err
}

func (s *store) PendingRevocations(_ context.Context, users []string) (pending []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, user := range users {
		if _, due := s.due[user]; due || s.claimed[user] {
			pending = append(pending, user)
		}
	}
	return pending, s.err
}

func (s *store) ConfirmRevocations(_ context.Context, confirmed []access.Confirmation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.confirmed = append(s.confirmed, confirmed...)
	for _, c := range confirmed {
		if c.Wait == 0 {
			delete(s.claimed, c.UserID)
		}
	}
	return s.err
}

// terminator records calls and fails with what fail says.
type terminator struct {
	mu     sync.Mutex
	called []string
	fail   func(user string) error
}

func (c *terminator) TerminateUser(_ context.Context, user string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.called = append(c.called, user)
	if c.fail == nil {
		return nil
	}
	return c.fail(user)
}

func (c *terminator) calls() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.called)
}

func newRevoker() (*Revoker, *store, *terminator) {
	s, c := &store{due: map[string]time.Time{}, claimed: map[string]bool{}}, &terminator{}
	return New(Config{Store: s, Terminator: c, Log: slog.New(slog.DiscardHandler)}), s, c
}

func gone(room string, users ...int64) (out []access.Departure) {
	for _, user := range users {
		out = append(out, access.Departure{Room: room, Seq: user})
	}
	return out
}

// One disconnect ends the access to every room the user left before it, and no other.
func TestOneDisconnectForManyRooms(t *testing.T) {
	r, _, c := newRevoker()
	read := time.Now()
	for _, room := range []string{"a", "b", "c", "d", "e"} {
		if _, err := r.Revoke(t.Context(), gone(room, 1), read); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.calls()); n != 1 {
		t.Errorf("disconnected %d times", n)
	}
	if _, err := r.Revoke(t.Context(), gone("f", 1), time.Now()); err != nil || len(c.calls()) != 2 {
		t.Errorf("who left later was disconnected %d times, %v", len(c.calls()), err)
	}
}

// What remembers whom a room may be read by is told of all who left before any of them is
// disconnected: they come back at once.
func TestForgetsBeforeTheDisconnect(t *testing.T) {
	r, s, c := newRevoker()
	var told []string
	r.Forget = func(user string) { told = append(told, user) }
	c.fail = func(user string) error {
		if !slices.Contains(told, "user1") || !slices.Contains(told, "user2") {
			t.Errorf("%s is disconnected when only %v are told", user, told)
		}
		return nil
	}
	if _, err := r.Revoke(t.Context(), gone("a", 1, 2), time.Now()); err != nil || len(told) != 2 || len(c.calls()) != 2 {
		t.Errorf("%v; told %v, disconnected %v", err, told, c.calls())
	}
	s.err = errors.New("database away")
	if _, err := r.Revoke(t.Context(), gone("a", 3), time.Now()); err == nil || len(told) != 2 {
		t.Errorf("%v; told %v, though nobody knows who left", err, told)
	}
}

// Beyond the limit nothing is done and the wait is told; what failed does not count.
func TestLimit(t *testing.T) {
	r, _, c := newRevoker()
	c.fail = func(string) error { return context.DeadlineExceeded }
	for range 10 {
		if _, err := r.Revoke(t.Context(), gone("a", 1), time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	c.fail = nil
	for i := range perUser {
		if _, err := r.Revoke(t.Context(), gone("a", 1), time.Now()); err != nil {
			t.Fatalf("disconnect %d: %v", i+1, err)
		}
	}
	before := len(c.calls())
	wait, err := r.Revoke(t.Context(), gone("a", 1), time.Now())
	if err == nil || wait < perUserIn-10*time.Second || wait > perUserIn || len(c.calls()) != before {
		t.Errorf("beyond the limit: wait %v, %v, %d calls", wait, err, len(c.calls())-before)
	}
	if _, err := r.Revoke(t.Context(), gone("a", 2), time.Now()); err != nil {
		t.Errorf("another user: %v", err)
	}
}

// A bulk change does not say who left: the room goes on when all who are noted were
// disconnected, also those of an earlier attempt, and none is left to be noted.
func TestBulkChange(t *testing.T) {
	r, s, c := newRevoker()
	s.known, s.more = []string{"earlier"}, true
	read := time.Now()
	if _, err := r.Revoke(t.Context(), gone("a", 1), read); !errors.Is(err, errMore) {
		t.Errorf("the room goes on though others are still listening: %v", err)
	}
	s.more = false
	c.fail = func(user string) error {
		if user == "later" {
			return context.DeadlineExceeded
		}
		return nil
	}
	if _, err := r.Revoke(t.Context(), gone("a", 1), read); err != nil || len(c.calls()) != 2 || !slices.Contains(c.calls(), "earlier") {
		t.Errorf("%v; disconnected %v", err, c.calls())
	}
	s.known = []string{"later"}
	if _, err := r.Revoke(t.Context(), gone("a", 1), read); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the room goes on though the disconnect of a noted user fails: %v", err)
	}
	if n := len(r.waiting.users); n != 1 {
		t.Errorf("%d users are waited for; what was noted before has its second disconnect already", n)
	}
}

// A server that has no such call, or no such user, holds nothing up.
func TestWhatCannotBeDoneHoldsNothingUp(t *testing.T) {
	for _, status := range []int{400, 404, 405, 501} {
		r, _, c := newRevoker()
		c.fail = func(string) error { return &pusher.Error{Status: status} }
		if _, err := r.Revoke(t.Context(), gone("a", 1), time.Now()); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	for _, status := range []int{401, 403, 429, 500, 503} {
		r, _, c := newRevoker()
		c.fail = func(string) error { return &pusher.Error{Status: status} }
		if _, err := r.Revoke(t.Context(), gone("a", 1), time.Now()); err == nil {
			t.Errorf("%d lets the room go on", status)
		}
	}
}

// A room is held while the second disconnect is overdue, and only then.
func TestHeld(t *testing.T) {
	w, now := newWaiting(), time.Now()
	w.add("ada", "a", now.Add(Grace), now.Add(Grace))
	w.add("ada", "b", now.Add(2*Grace), now.Add(2*Grace)) // left another room: one disconnect for both
	w.add("bob", "c", now.Add(Grace), now.Add(Grace))
	late := now.Add(2*Grace + overdueBy + time.Millisecond)
	for room, want := range map[string]bool{"a": true, "b": true, "c": true, "d": false} {
		if w.overdue(room, now) {
			t.Errorf("%s is held at once", room)
		}
		if got := w.overdue(room, late); got != want {
			t.Errorf("%s held: %v", room, got)
		}
	}
	w.confirm("ada", now.Add(Grace)) // begun too early for room b
	if !w.overdue("a", late) {
		t.Error("confirmed by a disconnect from before ada left room b")
	}
	w.confirm("ada", late)
	if w.overdue("a", late) || w.overdue("b", late) || !w.overdue("c", late) {
		t.Error("ada was disconnected and bob was not")
	}
	w.add("cid", "d", late.Add(Grace), late.Add(Grace))
	if users := w.dueUsers(late); !slices.Equal(users, []string{"bob"}) {
		t.Errorf("%v are due, and bob is", users)
	}
	w.forget([]string{"bob", "cid"}, late) // cid left another room since
	if w.overdue("c", late) || !w.overdue("d", late.Add(2*Grace)) || len(w.rooms) != 1 || len(w.users) != 1 {
		t.Error("bob was disconnected by another relay, and cid was not")
	}
}

// A round asks for a bounded number of users, and forgetting those makes place for the others.
func TestDueUsersAreBounded(t *testing.T) {
	w, now := newWaiting(), time.Now()
	for i := range maxPending + 7 {
		w.add(fmt.Sprint("user", i), "room", now, now)
	}
	later := now.Add(time.Second)
	for _, want := range []int{maxPending, 7, 0} {
		users := w.dueUsers(later)
		if len(users) != want {
			t.Fatalf("%d users are asked for at once, want %d", len(users), want)
		}
		w.forget(users, later)
	}
}

// What another relay has claimed holds the room until it has confirmed it.
func TestConfirmedByAnotherRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s, c := newRevoker()
		if _, err := r.Revoke(t.Context(), gone("a", 1), time.Now()); err != nil {
			t.Fatal(err)
		}
		round := func() {
			time.Sleep(Grace + 2*overdueBy)
			r.Poll(t.Context())
			r.Stop()
		}
		c.fail = func(string) error { return context.DeadlineExceeded }
		if round(); !r.Held("a") {
			t.Error("the room goes on behind a disconnect that failed")
		}
		if round(); !r.Held("a") {
			t.Error("the room goes on while another relay tries")
		}
		if err := s.ConfirmRevocations(t.Context(), []access.Confirmation{{Revocation: access.Revocation{UserID: "user1"}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pollEvery)
		if round(); r.Held("a") {
			t.Error("the room is held behind a disconnect that another relay has confirmed")
		}
	})
}

// A second disconnect that fails, or has to wait for the limit, holds the room until it is
// made, though the database hands it out to nobody meanwhile.
func TestFailedSecondDisconnectHolds(t *testing.T) {
	for _, limited := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r, _, c := newRevoker()
			if _, err := r.Revoke(t.Context(), gone("a", 1), time.Now()); err != nil {
				t.Fatal(err)
			}
			if limited {
				for range perUser {
					r.limiter.take("user1", time.Now())
				}
			}
			c.fail = func(string) error { return context.DeadlineExceeded }
			for range 3 { // the first claims it and fails, the others are handed out nothing
				time.Sleep(Grace + 2*overdueBy)
				r.Poll(t.Context())
				r.Stop()
			}
			if !r.Held("a") {
				t.Errorf("limited %v: the room goes on without a second disconnect", limited)
			}
		})
	}
}

// The second disconnect comes when the grace is over, and Finish waits for it.
func TestFinish(t *testing.T) {
	r, s, c := newRevoker()
	began := time.Now()
	if _, err := r.Revoke(t.Context(), gone("a", 1, 2), began); err != nil {
		t.Fatal(err)
	}
	r.Finish(t.Context(), time.Now().Add(time.Minute))
	if n := len(c.calls()); n != 4 {
		t.Errorf("%d disconnects, want two of each", n)
	}
	if len(s.confirmed) != 2 || s.confirmed[0].Wait != 0 || time.Since(began) < Grace {
		t.Errorf("confirmed %+v after %v", s.confirmed, time.Since(began))
	}
	if r.Held("a") || len(r.waiting.users) != 0 {
		t.Error("the room is still held")
	}
}

// Without the database nothing is confirmed, and rounds back off.
func TestDatabaseAway(t *testing.T) {
	r, s, c := newRevoker()
	s.err = context.DeadlineExceeded
	if _, err := r.Revoke(t.Context(), gone("a", 1), time.Now()); err == nil || len(c.calls()) != 0 {
		t.Errorf("revoked without a queue: %v, %d calls", err, len(c.calls()))
	}
	before := time.Now()
	r.Poll(t.Context())
	r.Stop()
	if !r.NextAt().After(before.Add(50 * time.Millisecond)) {
		t.Error("the next round is due at once")
	}
}
