package web

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Turns lets a few requests at a time do what is dear, such as reading a page of history,
// and makes the others wait. Whoever has the fewest under way is next, so that one caller
// with many requests waits for himself. It is safe for concurrent use; at rest it has no
// goroutine.
type Turns struct {
	slots  int // at a time
	each   int // of one caller that may wait
	waits  int // of all callers
	within time.Duration

	mu      sync.Mutex
	running int
	by      map[string]count // only callers with a request here
	queue   []*turn          // the oldest first
}

type count struct{ running, waiting int }

type turn struct {
	caller string
	begin  chan struct{}
}

// Each caller may have so many requests waiting as a page has rooms to catch up with, and
// all together as many as are answered in the time that they wait.
const (
	turnsEach   = 100
	turnsWaits  = 500
	turnsWithin = 3 * time.Second
)

// NewTurns lets slots requests at a time go on.
func NewTurns(slots int) *Turns {
	return &Turns{slots: slots, each: turnsEach, waits: turnsWaits, within: turnsWithin, by: make(map[string]count)}
}

// InTurn lets a route's requests go on in turns, behind their credentials, until their
// answer begins. caller names whose request one is. A route whose requests have bodies
// wants [Whole], too.
func InTurn(t *Turns, caller func(*http.Request) string) Option {
	return func(rt *route) { rt.turns, rt.caller = t, caller }
}

// busyRetry is when a caller may try again whose turn did not come.
const busyRetry = 2 * time.Second

// Enter waits for a turn. Its error is an answer of 503, or the context's; without one the
// caller must call leave when it is done.
func (t *Turns) Enter(ctx context.Context, caller string) (leave func(), err error) {
	leave = func() { t.leave(caller) }
	t.mu.Lock()
	c := t.by[caller]
	if t.running < t.slots {
		t.running++
		t.by[caller] = count{c.running + 1, c.waiting}
		t.mu.Unlock()
		return leave, nil
	}
	if c.waiting >= t.each || len(t.queue) >= t.waits {
		t.mu.Unlock()
		return nil, Unavailable("too many requests at once", busyRetry, nil)
	}
	t.by[caller] = count{c.running, c.waiting + 1}
	mine := &turn{caller, make(chan struct{})}
	t.queue = append(t.queue, mine)
	t.mu.Unlock()

	limit := time.NewTimer(t.within)
	defer limit.Stop()
	select {
	case <-mine.begin:
		return leave, nil
	case <-limit.C:
		err = Unavailable("too many requests at once", busyRetry, nil)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !t.withdraw(mine) { // the turn came just now
		return leave, nil
	}
	return nil, err
}

// withdraw takes a turn out of the queue; false if it has begun.
func (t *Turns) withdraw(mine *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.queue, mine)
	if i < 0 {
		return false
	}
	t.queue = slices.Delete(t.queue, i, i+1)
	c := t.by[mine.caller]
	t.set(mine.caller, count{c.running, c.waiting - 1})
	return true
}

// leave hands the turn on: to the caller with the fewest under way, of those to the one
// who has waited longest.
func (t *Turns) leave(caller string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.by[caller]
	t.set(caller, count{c.running - 1, c.waiting})
	if len(t.queue) == 0 {
		t.running--
		return
	}
	next := 0
	for i, waiting := range t.queue {
		if t.by[waiting.caller].running < t.by[t.queue[next].caller].running {
			next = i
		}
	}
	to := t.queue[next]
	t.queue = slices.Delete(t.queue, next, next+1)
	c = t.by[to.caller]
	t.by[to.caller] = count{c.running + 1, c.waiting - 1}
	close(to.begin)
}

func (t *Turns) set(caller string, c count) {
	if c == (count{}) {
		delete(t.by, caller)
		return
	}
	t.by[caller] = c
}
