package authorize_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/functions/authorize"
)

// asker is an Access that counts and can be held.
type asker struct {
	asked atomic.Int64
	most  atomic.Int64 // at once
	now   atomic.Int64
	takes time.Duration
	ok    bool
	err   error
}

func (a *asker) CanRead(ctx context.Context, _, _ string, _ []byte) (bool, error) {
	a.asked.Add(1)
	if n := a.now.Add(1); n > a.most.Load() {
		a.most.Store(n)
	}
	defer a.now.Add(-1)
	select {
	case <-time.After(a.takes):
		return a.ok, a.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func TestCoalescerRemembersAYes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{ok: true}
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: a, Remember: time.Second})
		ask := func(want int64, room, user, claims string) {
			t.Helper()
			if ok, err := c.CanRead(t.Context(), room, user, []byte(claims)); !ok || err != nil {
				t.Fatalf("%v, %v", ok, err)
			}
			if n := a.asked.Load(); n != want {
				t.Errorf("asked %d times, want %d", n, want)
			}
		}
		ask(1, "r", "u", "1")
		ask(1, "r", "u", "1")
		ask(2, "r", "u", "2") // another token
		ask(3, "s", "u", "1")
		ask(4, "r", "v", "1")
		time.Sleep(999 * time.Millisecond)
		ask(4, "r", "u", "1")
		time.Sleep(time.Millisecond) // it counts from the question, not from the last use
		ask(5, "r", "u", "1")

		ask(6, "r", "v", "1")
		c.Forget("u")
		ask(7, "r", "u", "1")
		ask(7, "r", "v", "1")
		time.Sleep(time.Hour)
		ask(8, "r", "v", "1")
	})
}

func TestCoalescerRemembersNothingElse(t *testing.T) {
	for name, a := range map[string]*asker{"a no": {}, "an error": {ok: true, err: errors.New("down")}} {
		t.Run(name, func(t *testing.T) {
			c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: a, Remember: time.Second})
			for range 2 {
				if ok, err := c.CanRead(t.Context(), "r", "u", nil); err != a.err || a.err == nil && ok {
					t.Errorf("%v, %v", ok, err)
				}
			}
			if n := a.asked.Load(); n != 2 {
				t.Errorf("asked %d times, want 2", n)
			}
		})
	}
}

// A user who leaves while the question is under way gets that answer, and the next
// question is a new one.
func TestCoalescerForgetsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{ok: true, takes: 2 * time.Second}
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: a, Remember: 900 * time.Millisecond})
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = c.CanRead(t.Context(), "r", "u", nil)
		}()
		time.Sleep(time.Second)
		c.Forget("u")
		<-done
		if _, err := c.CanRead(t.Context(), "r", "u", nil); err != nil || a.asked.Load() != 2 {
			t.Errorf("asked %d times (%v), want 2", a.asked.Load(), err)
		}
	})
}

// Equal questions at the same time are one; the first to ask may hang up.
func TestCoalescerAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{ok: true, takes: time.Second}
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: a})
		first, hangUp := context.WithCancel(t.Context())
		go func() { _, _ = c.CanRead(first, "r", "u", nil) }()
		synctest.Wait()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if ok, err := c.CanRead(t.Context(), "r", "u", nil); !ok || err != nil {
					t.Errorf("%v, %v", ok, err)
				}
			})
		}
		synctest.Wait()
		hangUp()
		wg.Wait()
		if n := a.asked.Load(); n != 1 {
			t.Errorf("asked %d times, want once", n)
		}
	})
}

// The database gets so many questions at a time, and what would wait too long, or
// behind too many, is refused.
func TestCoalescerShedsLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{ok: true, takes: time.Second}
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: a, Slots: 2, Queue: 10, Limit: 2500 * time.Millisecond})
		var wg sync.WaitGroup
		var allowed, busy atomic.Int64
		began := time.Now()
		for i := range 20 {
			if i == 2 {
				synctest.Wait() // until two are asked
			}
			wg.Go(func() {
				ok, err := c.CanRead(t.Context(), "r", fmt.Sprint(i), nil)
				switch {
				case ok && err == nil:
					allowed.Add(1)
				case errors.Is(err, authorize.ErrBusy):
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := busy.Load(); n != 8 {
			t.Errorf("%d of 20 refused at once, want 8: 2 are asked, 10 may wait", n)
		}
		wg.Wait()
		// Two slots, a second each: 2 after 1 s, 2 after 2 s, and the pair that entered
		// after 2 s has but half a second left.
		if allowed.Load() != 4 || a.most.Load() != 2 {
			t.Errorf("%d allowed, %d at once; want 4, and 2 at once", allowed.Load(), a.most.Load())
		}
		if took := time.Since(began); took != 2500*time.Millisecond {
			t.Errorf("took %v, want the limit", took)
		}
		if ok, err := c.CanRead(t.Context(), "again", "u", nil); !ok || err != nil {
			t.Errorf("after the storm: %v, %v", ok, err)
		}
	})
}

// Users with endless questions, more than enough to fill the queue, keep another waiting for a
// turn of each, not for all that they ask.
func TestCoalescerIsFairAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &batcher{} // a second a call
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: b, Slots: 1, Batch: 8, Queue: 400, Each: 100, Limit: time.Hour})
		var greedy sync.WaitGroup
		for i := range 800 {
			greedy.Go(func() { _, _ = c.CanRead(t.Context(), fmt.Sprint(2*i), fmt.Sprint("greedy", i%8), nil) })
		}
		synctest.Wait()
		began := time.Now()
		for i, answer := range c.CanReadMany(t.Context(), []string{"2", "4", "6"}, "another", nil) {
			if !answer.OK || answer.Err != nil {
				t.Errorf("room %d: %+v", i, answer)
			}
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("another's three questions took %v, calls of a second", took)
		}
		greedy.Wait()
		for _, n := range b.sizes[1 : len(b.sizes)-1] {
			if n != 8 {
				t.Errorf("calls of %v questions, want full ones", b.sizes)
				break
			}
		}
	})
}

// One user with endless questions leaves room for the others'.
func TestCoalescerIsNobodysAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{ok: true, takes: time.Second}
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: a, Slots: 1, Queue: 20, Each: 4})
		var refused atomic.Int64
		for i := range 20 {
			go func() {
				if _, err := c.CanRead(t.Context(), fmt.Sprint(i), "greedy", nil); errors.Is(err, authorize.ErrBusy) {
					refused.Add(1)
				}
			}()
			synctest.Wait()
		}
		if n := refused.Load(); n != 15 {
			t.Errorf("%d of 20 refused at once, want 15: 1 is asked, 4 may wait", n)
		}
		for i := range 4 {
			go func() { _, _ = c.CanRead(t.Context(), fmt.Sprint(i), "another", nil) }()
		}
		synctest.Wait()
		if n := refused.Load(); n != 15 {
			t.Error("another user is refused")
		}
		time.Sleep(time.Minute)
	})
}

// A caller who waits for another's answer may hang up.
func TestCoalescerFollowerHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: &asker{takes: time.Second}})
		var first sync.WaitGroup
		defer first.Wait()
		first.Go(func() { _, _ = c.CanRead(t.Context(), "r", "u", nil) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := c.CanRead(ctx, "r", "u", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// batcher is a BatchAccess that lets in where the room's name is even.
type batcher struct {
	asker
	sizes []int
	err   error
}

func (b *batcher) CanRead(_ context.Context, room, _ string, _ []byte) (bool, error) {
	if room == "panic" {
		panic("at the database")
	}
	b.asked.Add(1)
	n, err := strconv.Atoi(room)
	return n%2 == 0, err
}

func (b *batcher) CanReadAll(ctx context.Context, rooms, users []string, claims [][]byte) ([]*bool, error) {
	time.Sleep(time.Second)
	b.sizes = append(b.sizes, len(rooms))
	out := make([]*bool, len(rooms))
	for i, room := range rooms {
		if ok, err := b.CanRead(ctx, room, users[i], claims[i]); err == nil {
			out[i] = &ok
		}
	}
	return out, b.err
}

// What waits while the database is busy goes into one call, and gets its own answers;
// what fails together is asked one by one.
func TestCoalescerAsksTogether(t *testing.T) {
	for name, failure := range map[string]error{"together": nil, "one by one": errors.New("one of them fails")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &batcher{err: failure}
				c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: b, Slots: 1, Batch: 6, Limit: time.Minute})
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						if ok, err := c.CanRead(t.Context(), fmt.Sprint(i), "u", nil); err != nil || ok != (i%2 == 0) {
							t.Errorf("room %d: %v, %v", i, ok, err)
						}
					})
				}
				wg.Wait()
				if calls, most := len(b.sizes), 0; failure == nil {
					for _, n := range b.sizes {
						most = max(most, n)
					}
					if calls > 4 || most > 6 {
						t.Errorf("calls of %v questions, want few, and at most 6 in one", b.sizes)
					}
				}
			})
		})
	}
}

// A question that fails costs one question more, and none of the others theirs.
func TestOneFailingQuestionFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &batcher{}
		c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: b, Slots: 1, Limit: time.Minute})
		go func() { _, _ = c.CanRead(t.Context(), "0", "u", nil) }() // the others wait for it
		synctest.Wait()
		answers := c.CanReadMany(t.Context(), []string{"2", "odd", "3", "4"}, "u", nil)
		for i, want := range []bool{true, false, false, true} {
			if got := answers[i]; (got.OK && got.Err == nil) != want || (got.Err != nil) != (i == 1) {
				t.Errorf("question %d: %+v", i, got)
			}
		}
		if n := b.asked.Load(); n > 7 {
			t.Errorf("%d questions for five and one again", n)
		}
	})
}

// A panic behind the coalescer fails its question and nothing else.
func TestCoalescerSurvivesAPanic(t *testing.T) {
	c := authorize.NewCoalescer(authorize.CoalescerConfig{Access: &batcher{}})
	for range 2 {
		if ok, err := c.CanRead(t.Context(), "panic", "u", nil); ok || err == nil {
			t.Errorf("%v, %v", ok, err)
		}
	}
	if ok, err := c.CanRead(t.Context(), "2", "u", nil); !ok || err != nil {
		t.Errorf("afterwards: %v, %v", ok, err)
	}
}
