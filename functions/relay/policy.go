package relay

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"roomcast/shared/pusher"
)

// How long the relay waits after what failure. Every wait is jittered, and longer
// where Pusher asks for it with Retry-After. All but the last of Pusher's end, jitter
// included, within a claim's lease and a sweep (25 s): whatever broke, that is how
// long after its end the rows wait at most.
var (
	roomBackoff       = span{100 * time.Millisecond, 20 * time.Second} // one room's batch failed, others go on
	pusherBackoff     = span{500 * time.Millisecond, 20 * time.Second} // Pusher fails whoever asks
	credentialBackoff = span{5 * time.Second, 20 * time.Second}        // 401: until somebody mends secret or clock
	refusedBackoff    = span{time.Minute, 5 * time.Minute}             // 403: quota or disabled app
	databaseBackoff   = span{100 * time.Millisecond, 5 * time.Second}
)

const (
	leaseMargin = 500 * time.Millisecond // given up before the lease ends, for the answer under way
	leaveMargin = 700 * time.Millisecond // handed back before we must be gone, for the last ack
	roomTries   = 3                      // in a lane; then the room goes back to the database
	failedRooms = 3                      // so many different rooms failing in a row mean Pusher, not a room
	probeRows   = 5                      // claimed to see whether Pusher is back
)

// span is an exponential backoff: from first, doubling, to most.
type span struct{ first, most time.Duration }

// wait is the wait before try number step+1, with jitter of a quarter each way so
// that relays which failed together do not come back together.
func (s span) wait(step int) time.Duration {
	d := s.most
	if step < 30 {
		d = min(s.first<<max(0, step-1), s.most)
	}
	return d*3/4 + rand.N(d/2+1)
}

// backoff is a span under way.
type backoff struct {
	step  int
	until time.Time
}

func (b *backoff) reset() { *b = backoff{} }

func (b *backoff) over() bool { return !time.Now().Before(b.until) }

func (b *backoff) next(s span) {
	b.step++
	b.until = time.Now().Add(s.wait(b.step))
}

// health is what the lanes know together about Pusher. Beyond a certain trouble
// all pause, and then a few rows are tried before all go on.
type health struct {
	log *slog.Logger
	obs Observer

	mu      sync.Mutex
	pause   backoff             // step > 0: in trouble
	failing map[string]struct{} // rooms that failed since anything succeeded
	given   map[string]int      // how often in a row a room was given back
	err     error
}

func newHealth(log *slog.Logger, obs Observer) *health {
	return &health{log: log, obs: obs, failing: map[string]struct{}{}, given: map[string]int{}}
}

// accepted notes that Pusher took something, of this room first.
func (h *health) accepted(room string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.given, room)
	if h.pause.step > 0 {
		h.log.Info("pusher accepts again")
	}
	h.pause.reset()
	h.err = nil
	clear(h.failing)
}

// failed notes a failed call for a room and reports whether lanes must stop.
func (h *health) failed(room string, err error) (stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	class := pusher.Classify(err)
	after, everyone := askedToWait(err)
	if class == pusher.TryLater && !everyone {
		h.failing[room] = struct{}{}
		if len(h.failing) < failedRooms && h.pause.step == 0 {
			return false
		}
	}
	if !h.pause.over() {
		return true // another lane was told the same already
	}
	h.err = err
	h.pause.next(spanOf(class))
	if at := time.Now().Add(after); at.After(h.pause.until) {
		h.pause.until = at
	}
	h.obs.Paused(class)
	h.log.Error(pauseText(class), slog.Any("err", err),
		slog.Int("attempt", h.pause.step), slog.Duration("wait", time.Until(h.pause.until).Round(time.Millisecond)))
	return true
}

// askedToWait reads an answer that speaks to the app as a whole: 429, or any other
// with Retry-After.
func askedToWait(err error) (after time.Duration, yes bool) {
	answer := (*pusher.Error)(nil)
	if !errors.As(err, &answer) {
		return 0, false
	}
	return answer.RetryAfter, answer.RetryAfter > 0 || answer.Status == http.StatusTooManyRequests
}

// giveUp notes that a room goes back to the database, and returns how long it is
// to rest there: longer each time in a row.
func (h *health) giveUp(room string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.given[room]++
	return roomBackoff.wait(h.given[room] + roomTries)
}

func spanOf(class pusher.Class) span {
	switch class {
	case pusher.Credentials:
		return credentialBackoff
	case pusher.Refused:
		return refusedBackoff
	}
	return pusherBackoff
}

// pauseText says what to do about it.
func pauseText(class pusher.Class) string {
	switch class {
	case pusher.Credentials:
		return "pusher refuses our signature; rows wait: check PUSHER_APP_ID, PUSHER_KEY, PUSHER_SECRET, PUSHER_CLUSTER and this machine's clock"
	case pusher.Refused:
		return "pusher refuses the app; rows wait: it is over its quota, or disabled"
	}
	return "pusher does not take events; rows wait"
}

// paused reports whether Pusher is in trouble and not to be asked now.
func (h *health) paused() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.pause.over()
}

// next says when Pusher may be asked, and in which step of its trouble it is: 0
// for none.
func (h *health) next() (at time.Time, step int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pause.until, h.pause.step
}

// reason is the trouble, nil if there is none.
func (h *health) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}
