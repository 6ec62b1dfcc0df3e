// Package pace keeps requests of many clients near what one process can bear, by telling
// each when to come again.
package pace

import (
	"sync"
	"time"
)

// Config is what a Pace is made of.
type Config struct {
	Min       time.Duration // between a client's requests, where there are few clients
	Max       time.Duration // at most, where there are many
	PerMinute float64       // the requests that are wanted in all
	// PerCaller is how many requests a minute of one caller count, 0 for all: a caller
	// who sends more makes nobody else wait.
	PerCaller int
}

// maxCallers bounds the callers that are told apart in a minute; those beyond are one.
const maxCallers = 10_000

// Pace is safe for concurrent use. Make it with [New].
type Pace struct {
	Config

	mu    sync.Mutex
	since time.Time // when this minute began
	count int       // requests of it
	by    map[string]int
	every time.Duration
}

// New returns a Pace.
func New(c Config) *Pace { return &Pace{Config: c} }

// Arrived counts a caller's request and returns when its client is to come again.
func (p *Pace) Arrived(caller string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.every == 0 || now.Before(p.since) {
		p.since, p.every = now, p.Min
	}
	if past := now.Sub(p.since); past >= time.Minute {
		// As many clients as sent these, at the pace they were told.
		clients := float64(p.count) / past.Minutes() * p.every.Minutes()
		p.every = min(max(time.Duration(clients/p.PerMinute*float64(time.Minute)), p.Min), p.Max).Round(time.Second)
		p.since, p.count, p.by = now, 0, nil
	}
	p.note(caller)
	return p.every
}

// note counts a request, unless its caller has sent more than counts. mu is held.
func (p *Pace) note(caller string) {
	if p.PerCaller == 0 {
		p.count++
		return
	}
	if p.by == nil {
		p.by = make(map[string]int)
	}
	if _, known := p.by[caller]; !known && len(p.by) >= maxCallers {
		caller = ""
	}
	if p.by[caller]++; p.by[caller] <= p.PerCaller {
		p.count++
	}
}
