package runtime

import (
	"sync"
	"time"
)

// idle finds the moment when a process has had no work for a while. Requests that are
// work say so ([Working]); a worker can only be asked, so it is asked four times per
// limit (75 s apart with the usual five minutes). What the worker does between
// two checks counts up to the second one: leaving may come late by a quarter of
// the limit, never early.
type idle struct {
	limit time.Duration // 0: never idle
	busy  func() bool

	mu      sync.Mutex
	active  int       // requests being served
	last    time.Time // when work was last seen
	wasBusy bool      // what the worker said at the last check
}

func newIdle(limit time.Duration, busy func() bool) *idle {
	return &idle{limit: limit, busy: busy, last: time.Now()}
}

func (i *idle) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.active++
}

func (i *idle) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.active--
	i.last = time.Now()
}

// timer starts the wait for the first check. Its channel never fires if the
// process is never idle.
func (i *idle) timer() (due <-chan time.Time, reset func(time.Duration), stop func()) {
	if i.limit <= 0 {
		return nil, func(time.Duration) {}, func() {}
	}
	t := time.NewTimer(i.limit / 4)
	return t.C, func(d time.Duration) { t.Reset(d) }, func() { t.Stop() }
}

// check reports whether the limit has passed without work, and if not, when to
// check again.
func (i *idle) check() (again time.Duration, done bool) {
	busy := i.busy() // outside the lock: requests must not wait for the worker
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	if busy || i.wasBusy || i.active > 0 {
		i.last = now
	}
	i.wasBusy = busy
	left := i.limit - now.Sub(i.last)
	return min(left, i.limit/4), left <= 0
}
