package relay

import (
	"errors"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

// Observer is told what the relay does, for metrics. Calls come from many
// goroutines and must not block. Nothing it is told names a room or a user.
type Observer interface {
	WebhookReceived()                                             // a wake-up webhook came
	Woke()                                                        // the loop left its sleep
	Claimed(rows int, took time.Duration)                         // a claim was answered; took is 0 for one that waited for rows
	Published(events int, took time.Duration, class pusher.Class) // a call to Pusher was answered; a pack is one event
	Delivered(sinceWritten time.Duration)                         // Pusher accepted a row, alone or in a pack
	Parked(reason string)                                         // an event was given up; reason is one of few words
	Paused(class pusher.Class)                                    // Pusher is in trouble
	LeaseLost()                                                   // another relay took a room over
	DatabaseFailed(call string)                                   // it did not answer; call is one of few words
}

// Unobserved is the Observer that nobody listens to.
type Unobserved struct{}

func (Unobserved) WebhookReceived()                           {}
func (Unobserved) Woke()                                      {}
func (Unobserved) Claimed(int, time.Duration)                 {}
func (Unobserved) Published(int, time.Duration, pusher.Class) {}
func (Unobserved) Delivered(time.Duration)                    {}
func (Unobserved) Parked(string)                              {}
func (Unobserved) Paused(pusher.Class)                        {}
func (Unobserved) LeaseLost()                                 {}
func (Unobserved) DatabaseFailed(string)                      {}

// parkReason puts a reason into one of few words.
func parkReason(err error) string {
	switch {
	case errors.Is(err, event.ErrRoom):
		return "room"
	case errors.Is(err, event.ErrRecord), errors.Is(err, event.ErrKind), errors.Is(err, event.ErrOp):
		return "record"
	case errors.Is(err, pusher.ErrTooLarge):
		return "too-large"
	}
	return "refused"
}
