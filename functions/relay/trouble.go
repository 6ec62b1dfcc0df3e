package relay

import (
	"time"

	"roomcast/shared/pusher"
)

// Trouble is why Pusher does not accept events.
type Trouble struct {
	Since   time.Time
	Class   pusher.Class
	Err     error     // its last answer
	RetryAt time.Time // when it will be asked again; zero: at once
}

// Trouble tells why Pusher does not accept events; nil while it does. It asks nobody.
func (r *Relay) Trouble() *Trouble { return r.health.trouble() }
