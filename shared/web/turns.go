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
// of history. The others wait. Next is the caller with the fewest running requests, and
// among those the one whose last turn is the longest ago, so that callers with many requests
// do not delay the rest, however many of them there are. No caller has every slot: slow
// requests of one leave another's a slot. When the queue is full, the caller
// with the most waiting requests loses one. It is safe for concurrent use and has no
// goroutine at rest.
type Turns struct {
	slots  int // at a time
	most   int // of one caller that may run
	each   int // of one caller that may wait
	waits  int // of all callers
	within time.Duration

	mu      sync.Mutex
	running int
	began   int64            // turns so far
	by      map[string]count // only callers with a request here
	queue   []*turn          // the oldest first
}

// count is a caller's requests, and the number of its last turn.
type count struct {
	running, waiting int
	last             int64
}

type turn struct {
	caller string
	begin  chan struct{} // closed when it begins, or is given up for another's
	shed   bool          // the latter
}

// One caller may have as many requests waiting as a page has rooms to catch up with.
const (
	turnsEach   = 100
	turnsWaits  = 500
	turnsWithin = 3 * time.Second
)

// NewTurns returns Turns with so many slots.
func NewTurns(slots int) *Turns {
	return &Turns{slots: slots, most: max(1, slots-1), each: turnsEach, waits: turnsWaits, within: turnsWithin, by: make(map[string]count)}
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
	mine, err := t.join(caller)
	if mine == nil {
		return leave, err
	}
	limit := time.NewTimer(t.within)
	defer limit.Stop()
	select {
	case <-mine.begin:
		return leave, mine.refusal()
	case <-limit.C:
		err = busy()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if !t.withdraw(mine) { // it began, or was given up, at the same moment
		return leave, mine.refusal()
	}
	return nil, err
}

// join begins a turn at once and returns nil, or queues it.
func (t *Turns) join(caller string) (*turn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running < t.slots && t.by[caller].running < t.most {
		t.running++
		t.start(caller, 0)
		return nil, nil
	}
	if t.by[caller].waiting >= t.each || len(t.queue) >= t.waits && !t.shed(caller) {
		return nil, busy()
	}
	c := t.by[caller]
	c.waiting++
	t.by[caller] = c
	mine := &turn{caller: caller, begin: make(chan struct{})}
	t.queue = append(t.queue, mine)
	return mine, nil
}

// refusal is the answer if the turn was given up. It is called once begin is closed.
func (m *turn) refusal() error {
	if m.shed {
		return busy()
	}
	return nil
}

// start counts a turn that begins; waited is 1 if it was queued. mu is held.
func (t *Turns) start(caller string, waited int) {
	t.began++
	c := t.by[caller]
	t.by[caller] = count{c.running + 1, c.waiting - waited, t.began}
}

// shed gives up the last queued turn of the caller with the most, if that has more than the
// newcomer would. mu is held.
func (t *Turns) shed(newcomer string) bool {
	most, at := t.by[newcomer].waiting+1, -1
	for i, queued := range t.queue {
		if n := t.by[queued.caller].waiting; n > most || at >= 0 && queued.caller == t.queue[at].caller {
			most, at = n, i
		}
	}
	if at < 0 {
		return false
	}
	lost := t.dequeue(at)
	c := t.by[lost.caller]
	c.waiting--
	t.set(lost.caller, c)
	lost.shed = true
	close(lost.begin)
	return true
}

// dequeue removes a turn from the queue. mu is held.
func (t *Turns) dequeue(i int) *turn {
	taken := t.queue[i]
	t.queue = slices.Delete(t.queue, i, i+1)
	return taken
}

// withdraw takes a turn out of the queue; false if it is no longer there.
func (t *Turns) withdraw(mine *turn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.queue, mine)
	if i < 0 {
		return false
	}
	t.dequeue(i)
	c := t.by[mine.caller]
	c.waiting--
	t.set(mine.caller, c)
	return true
}

// leave gives the slot to the next caller who may have it.
func (t *Turns) leave(caller string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.by[caller]
	c.running--
	t.set(caller, c)
	next := -1
	for i, queued := range t.queue {
		if t.by[queued.caller].running < t.most && (next < 0 || t.before(queued.caller, t.queue[next].caller)) {
			next = i
		}
	}
	if next < 0 {
		t.running--
		return
	}
	to := t.dequeue(next)
	t.start(to.caller, 1)
	close(to.begin)
}

// before reports whether a is to be served before b. mu is held.
func (t *Turns) before(a, b string) bool {
	x, y := t.by[a], t.by[b]
	return x.running < y.running || x.running == y.running && x.last < y.last
}

func (t *Turns) set(caller string, c count) {
	if c.running == 0 && c.waiting == 0 {
		delete(t.by, caller)
		return
	}
	t.by[caller] = c
}
