package relay

import (
	"sync/atomic"
	"time"

	"roomcast/shared/pusher"
)

// Status is what a relay can tell of itself. Times are zero for what has not happened
// since the process started.
type Status struct {
	Awake        bool
	LastClaim    time.Time // when the database last answered a claim
	LastAccepted time.Time // when Pusher last accepted an event
	Trouble      *Trouble  // why events are not published; nil while they are
	Database     error     // the last call's, while the database does not answer
}

// Trouble is why Pusher does not accept events.
type Trouble struct {
	Since   time.Time
	Class   pusher.Class
	Err     error     // its last answer
	RetryAt time.Time // when it will be asked again; zero: at once
}

// Status tells how the relay does. It asks nobody.
func (r *Relay) Status() Status {
	s := Status{Awake: r.Busy(), LastClaim: r.lastClaim.get(), LastAccepted: r.health.lastAccepted(), Trouble: r.health.trouble()}
	if err := r.database.Load(); err != nil {
		s.Database = *err
	}
	return s
}

// moment is a time that is set and read by different goroutines.
type moment struct{ at atomic.Pointer[time.Time] }

func (m *moment) set(t time.Time) { m.at.Store(&t) }

func (m *moment) get() time.Time {
	if t := m.at.Load(); t != nil {
		return *t
	}
	return time.Time{}
}
