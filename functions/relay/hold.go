package relay

import (
	"time"

	"roomcast/shared/access"
	"roomcast/shared/backoff"
)

// Departures. A user who left a room must not hear what is numbered behind user-left, so
// a worker stops there and has the user disconnected. If that fails, the room goes on with
// bare events ([event.Bare]): the members fetch their content over HTTP, where the
// database decides who may. The ack does not pass the departure before the disconnect is
// confirmed, so that whichever relay comes next starts there.

// Users who left at about the same time are disconnected together: together of them, who
// left within togetherFor.
const (
	togetherMost = 64
	togetherFor  = time.Second
)

// hold is what stands between a room and its next events.
type hold struct {
	departures
	revoking bool // the revoker was asked
	failed   bool // it failed; until it does not, events are bare
	retry    backoff.Timer
	known    int64 // up to here rows were published before
}

// departures are those accepted by Pusher whose users are not yet confirmed to be
// disconnected.
type departures struct {
	left []access.Departure
	age  time.Duration // of the first
}

func (d *departures) depart(one access.Departure, age time.Duration) {
	if len(d.left) == 0 {
		d.age = age
	}
	d.left = append(d.left, one)
}

// allow reports whether a row may be published behind these departures, and counts it
// among them if it is one.
func (d *departures) allow(it item) bool {
	if len(d.left) > 0 && (!it.left || len(d.left) >= togetherMost || d.age-it.age > togetherFor) {
		return false
	}
	if it.left {
		d.left = d.left[:len(d.left):len(d.left)] // a copy: the row is not accepted yet
		d.depart(access.Departure{Seq: it.seq}, it.age)
	}
	return true
}
