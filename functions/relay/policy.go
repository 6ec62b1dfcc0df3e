package relay

import (
	"log/slog"
	"sync"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/pusher"
)

// How long the relay waits after what failure. Every wait is jittered, and longer
// where Pusher asks for it with Retry-After. All but the last of Pusher's end, jitter
// included, within a claim's lease and a sweep (25 s): whatever broke, that is how
// long after its end the rows wait at most.
var (
	roomBackoff       = backoff.Span{First: 100 * time.Millisecond, Most: 20 * time.Second} // one room's batch failed, others go on
	pusherBackoff     = backoff.Span{First: 500 * time.Millisecond, Most: 20 * time.Second} // Pusher fails whoever asks
	credentialBackoff = backoff.Span{First: 5 * time.Second, Most: 20 * time.Second}        // 401: until somebody mends secret or clock
	refusedBackoff    = backoff.Span{First: time.Minute, Most: 5 * time.Minute}             // 403: quota or disabled app
	databaseBackoff   = backoff.Span{First: 100 * time.Millisecond, Most: 5 * time.Second}
)

const (
	leaseMargin = 500 * time.Millisecond // given up before the lease ends, for the answer under way
	leaveMargin = 700 * time.Millisecond // handed back before we must be gone, for the last ack
	roomTries   = 3                      // in a lane; then the room goes back to the database
	failedRooms = 3                      // so many different rooms failing in a row mean Pusher, not a room
	probeRows   = 5                      // claimed to see whether Pusher is back
)

// health is what the lanes know together about Pusher. Beyond a certain trouble
// all pause, and then a few rows are tried before all go on.
type health struct {
	log *slog.Logger
	obs Observer

	mu      sync.Mutex
	pause   backoff.Timer       // step > 0: in trouble
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
	if h.pause.Step > 0 {
		h.log.Info("pusher accepts again")
	}
	h.pause.Reset()
	h.err = nil
	clear(h.failing)
}

// failed notes a failed call for a room and reports whether lanes must stop.
func (h *health) failed(room string, err error) (stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	class := pusher.Classify(err)
	after, everyone := pusher.AskedToWait(err)
	if class == pusher.TryLater && !everyone {
		h.failing[room] = struct{}{}
		if len(h.failing) < failedRooms && h.pause.Step == 0 {
			return false
		}
	}
	if !h.pause.Over() {
		return true // another lane was told the same already
	}
	h.err = err
	h.pause.Fail(spanOf(class))
	h.pause.Defer(after)
	h.obs.Paused(class)
	h.log.Error(class.Advice(), slog.Any("err", err),
		slog.Int("attempt", h.pause.Step), slog.Duration("wait", time.Until(h.pause.Until).Round(time.Millisecond)))
	return true
}

// giveUp notes that a room goes back to the database, and returns how long it is
// to rest there: longer each time in a row.
func (h *health) giveUp(room string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.given[room]++
	return roomBackoff.Wait(h.given[room] + roomTries)
}

func spanOf(class pusher.Class) backoff.Span {
	switch class {
	case pusher.Credentials:
		return credentialBackoff
	case pusher.Refused:
		return refusedBackoff
	}
	return pusherBackoff
}

// paused reports whether Pusher is in trouble and not to be asked now.
func (h *health) paused() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.pause.Over()
}

// next says when Pusher may be asked, and in which step of its trouble it is: 0
// for none.
func (h *health) next() (at time.Time, step int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pause.Until, h.pause.Step
}

// reason is the trouble, nil if there is none.
func (h *health) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}
