package web

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Turns limits how many requests at a time do something expensive, such as reading a page
// of history. The others wait; the caller with the fewest running requests is next, so
// that one with many requests does not delay the rest. It is safe for concurrent use and
// has no goroutine at rest.
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

// One caller may have as many requests waiting as a page has rooms to catch up with.
const (
	turnsEach   = 100
	turnsWaits  = 500
	turnsWithin = 3 * time.Second
)

// NewTurns returns Turns with so many slots.
func NewTurns(slots int) *Turns {
	return &Turns{slots: slots, each: turnsEach, waits: turnsWaits, within: turnsWithin, by: make(map[string]count)}
}

// InTurn makes a route's requests wait for a turn, after their credential is checked. The
// turn ends when the answer begins. caller is the key of fairness. A route whose requests
// have bodies needs [Whole], too.
func InTurn(t *Turns, caller func(*http.Request) string) Option {
	return func(rt *route) { rt.turns, rt.caller = t, caller }
}

// A request that gets no turn is told to come back after busyRetry and up to busySpread
// more, so that those refused together do not come back together.
const (
	busyRetry  = 2 * time.Second
	busySpread = 4 * time.Second
)

func busy() *Error {
	return Unavailable("too many requests at once", busyRetry+rand.N(busySpread), nil)
}

// Enter waits for a turn; leave ends it. The error is an answer of 503, or the context's.
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
		return nil, busy()
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
		err = busy()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !t.withdraw(mine) { // the turn came at the same moment
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

// leave gives the slot to the caller with the fewest running requests; among equals, to
// the one waiting longest.
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
