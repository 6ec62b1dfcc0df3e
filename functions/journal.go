package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"roomcast/functions/relay"
	"roomcast/shared/admin"
	"roomcast/shared/pusher"
	"roomcast/shared/selfcheck"
)

// journal passes the relay's calls on to Pusher and remembers how the last ones went, for
// GET /selfcheck.
type journal struct {
	relay.Publisher

	mu           sync.Mutex
	lastClaim    time.Time
	lastAccepted time.Time
	failingSince time.Time // zero: the last call was accepted
	answer       string    // of the last call that was not
	probe        chan struct{}
	canary       *selfcheck.Canary // the last; nil before the first
}

var _ relay.Publisher = (*journal)(nil)

func newJournal(p relay.Publisher) *journal {
	return &journal{Publisher: p, probe: make(chan struct{})}
}

// PublishBatch publishes and remembers.
func (j *journal) PublishBatch(ctx context.Context, events []pusher.Event) error {
	err := j.Publisher.PublishBatch(ctx, events)
	j.mu.Lock()
	defer j.mu.Unlock()
	switch pusher.Classify(err) {
	case pusher.Accepted:
		j.lastAccepted, j.failingSince, j.answer = time.Now(), time.Time{}, ""
		if hasProbe(events) {
			close(j.probe)
			j.probe = make(chan struct{})
		}
	case pusher.Rejected: // the event's fault, not Pusher's or ours
	default:
		j.answer = oneLine(err)
		if j.failingSince.IsZero() {
			j.failingSince = time.Now()
		}
	}
	return err
}

func hasProbe(events []pusher.Event) bool {
	for _, e := range events {
		if strings.HasSuffix(e.Channel, "room-"+admin.ProbeRoom) {
			return true
		}
	}
	return false
}

// claimed remembers that the database answered a claim.
func (j *journal) claimed() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lastClaim = time.Now()
}

// heard remembers the result of a canary.
func (j *journal) heard(result string, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.canary = &selfcheck.Canary{Result: result, At: time.Now(), Seconds: took.Seconds()}
}

// nextProbe is closed when Pusher next accepts a test event from this process.
func (j *journal) nextProbe() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.probe
}

// failure is what Pusher answered the last call, empty if it was accepted.
func (j *journal) failure() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.answer
}

func (j *journal) report(awake bool) *selfcheck.Relay {
	j.mu.Lock()
	defer j.mu.Unlock()
	known := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return &selfcheck.Relay{
		Awake: awake, LastClaim: known(j.lastClaim), LastAccepted: known(j.lastAccepted),
		PausedSince: known(j.failingSince), PusherAnswer: j.answer, Canary: j.canary,
	}
}
