package runtime

import (
	"net/http"
	"sync"
	"time"
)

// suspended is how far the two clocks may part before it means a suspension;
// clock discipline moves them by milliseconds.
const suspended = 2 * time.Second

// resume notices that the machine was suspended. Linux stops the monotonic clock
// meanwhile, but not the wall clock, so that the wall clock gains on it. After
// a resume on Fly the wall clock itself may lag until it is set again: then the
// suspension shows only at the first request after that.
type resume struct {
	notify func(gap time.Duration)
	origin time.Time // carries the monotonic reading to count from

	mu   sync.Mutex
	wall time.Time     // when last looked, by the wall clock
	mono time.Duration // and since origin, by the monotonic one
}

func newResume(notify func(gap time.Duration)) *resume {
	now := time.Now()
	return &resume{notify: notify, origin: now, wall: now.Round(0)}
}

// watch looks before each request. Nothing looks in between: an idle machine
// should stay idle, and dead connections matter only to a request.
func (rs *resume) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		rs.look(now.Round(0), now.Sub(rs.origin)) // Round(0) drops the monotonic reading
		next.ServeHTTP(w, r)
	})
}

// look compares both clocks with what they said last. The lock is held while
// notifying, so that no request overtakes it and meets a dead connection.
func (rs *resume) look(wall time.Time, mono time.Duration) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	gap := wall.Sub(rs.wall) - (mono - rs.mono)
	rs.wall, rs.mono = wall, mono
	if gap > suspended {
		rs.notify(gap)
	}
}
