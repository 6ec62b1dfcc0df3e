// Package backoff spaces out repeated attempts: exponential, bounded, jittered.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Sleep waits, and reports false if ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Span is an exponential backoff: from First, doubling, to Most.
type Span struct{ First, Most time.Duration }

// Wait is the wait after attempt number step (from 1), with jitter of a quarter each
// way, so that callers that failed together do not come back together.
func (s Span) Wait(step int) time.Duration {
	d := s.Most
	if step < 30 { // beyond that the shift would overflow
		d = min(s.First<<max(0, step-1), s.Most)
	}
	return d*3/4 + rand.N(d/2+1)
}

// Timer is a backoff under way. The zero value waits for nothing.
type Timer struct {
	Step  int       // failed attempts in a row
	Until time.Time // no attempt before this
}

// Reset ends the backoff after a success.
func (t *Timer) Reset() { *t = Timer{} }

// Over reports whether the next attempt is due.
func (t *Timer) Over() bool { return !time.Now().Before(t.Until) }

// Fail counts a failed attempt and sets when the next is due.
func (t *Timer) Fail(s Span) {
	t.Step++
	t.Until = time.Now().Add(s.Wait(t.Step))
}

// Defer moves the next attempt to at least so far from now, where a server asked for it.
func (t *Timer) Defer(wait time.Duration) {
	if at := time.Now().Add(wait); at.After(t.Until) {
		t.Until = at
	}
}
