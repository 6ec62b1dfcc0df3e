package relay

import (
	"log/slog"
	"sync"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/pusher"
)

// health is what the workers know together about Pusher. Beyond a certain trouble
// all pause, and then a few rows are tried before all go on.
type health struct {
	log *slog.Logger
	obs Observer

	mu      sync.Mutex
	pause   backoff.Timer       // step > 0: in trouble
	failing map[string]struct{} // rooms that failed since anything succeeded
	since   time.Time           // when the first of these failures came; zero without one
	given   map[string]int      // how often in a row a room was given back
	err     error               // the last failure, if nothing succeeded since
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
	h.err, h.since = nil, time.Time{}
	clear(h.failing)
}

// failed notes a failed call for a room and reports whether workers must stop.
func (h *health) failed(room string, err error) (stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	class := pusher.Classify(err)
	after, everyone := pusher.AskedToWait(err)
	if h.err = err; h.since.IsZero() {
		h.since = time.Now()
	}
	if class == pusher.TryLater && !everyone {
		h.failing[room] = struct{}{}
		if len(h.failing) < failedRooms && h.pause.Step == 0 {
			return false
		}
	}
	if !h.pause.Over() {
		return true // another worker was told the same already
	}
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

// reason is why workers pause, nil if they do not.
func (h *health) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pause.Step == 0 {
		return nil
	}
	return h.err
}

// Trouble is why Pusher does not accept events.
type Trouble struct {
	Since   time.Time
	Class   pusher.Class
	Err     error     // its last answer
	RetryAt time.Time // when it will be asked again; zero: at once
}

// troubleAfter is how long a single room's failures are taken for a moment's: with few
// rooms there are never failedRooms of them.
const troubleAfter = 3 * time.Second

// trouble is what there is to tell of Pusher; nil while it accepts events.
func (h *health) trouble() *Trouble {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pause.Step == 0 && (h.since.IsZero() || time.Since(h.since) < troubleAfter) {
		return nil
	}
	return &Trouble{Since: h.since, Class: pusher.Classify(h.err), Err: h.err, RetryAt: h.pause.Until}
}

// lastError is Pusher's last failure, if nothing succeeded since.
func (h *health) lastError() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}
