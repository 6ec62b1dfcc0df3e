package main

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// stopwatch matches commits with arrivals by the number in a message's text.
type stopwatch struct {
	mu        sync.Mutex
	committed []time.Time
	arrived   []time.Time
}

// mark stands before the number.
const mark = "probe-"

func newStopwatch(n int) *stopwatch {
	return &stopwatch{committed: make([]time.Time, n), arrived: make([]time.Time, n)}
}

// note takes the messages in the body of a call to Pusher.
func (s *stopwatch) note(body []byte, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		_, rest, found := bytes.Cut(body, []byte(mark))
		if !found {
			return
		}
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if n, err := strconv.Atoi(string(rest[:digits])); err == nil && n < len(s.arrived) && s.arrived[n].IsZero() {
			s.arrived[n] = at
		}
		body = rest
	}
}

func (s *stopwatch) commit(n int) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed[n] = now
}

// times from each commit's acknowledgement to the acceptance. A relay can be
// quicker than the acknowledgement's way to us: that is 0, not less.
func (s *stopwatch) times() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]time.Duration, 0, len(s.arrived))
	for n, at := range s.arrived {
		out = append(out, max(0, at.Sub(s.committed[n])))
	}
	return out
}

// poisson returns the moments of n arrivals at a mean rate per second, as waits
// after one another; the same for the same seed.
func poisson(n int, rate float64, seed uint64) []time.Duration {
	random := rand.New(rand.NewPCG(seed, seed))
	gaps := make([]time.Duration, n)
	for i := range gaps {
		gaps[i] = time.Duration(random.ExpFloat64() / rate * float64(time.Second))
	}
	return gaps
}
