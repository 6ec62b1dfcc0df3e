package main

import (
	"context"
	"sync"
	"time"

	"roomcast/shared/admin"
)

const backlogFresh = 5 * time.Second // one read serves the gauges of one scrape, and scrapers in a hurry

// backlogGauge reads the backlog for scrapers, seldom.
type backlogGauge struct {
	ask func(context.Context) (admin.Backlog, error)

	mu      sync.Mutex
	reading reading[admin.Backlog]
	kept    admin.Backlog // the last that was read without an error
	has     bool
	// An event was parked since: counted, though the last read may have seen it already.
	stale bool
}

// read returns the last reading, or a new one if that is no longer fresh. It reports
// false when the database did not answer, and does not ask again at once.
func (g *backlogGauge) read() (admin.Backlog, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stale {
		g.stale, g.reading = false, reading[admin.Backlog]{}
	}
	last, err := g.reading.read(backlogFresh, g.ask)
	if err == nil {
		g.kept, g.has = last, true
	}
	return last, err == nil
}

// parked counts an event that was given up, until the next read counts them all.
func (g *backlogGauge) parked() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.kept.Parked++
	g.has, g.stale = true, true
}

// isStale: was an event parked since the last read?
func (g *backlogGauge) isStale() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.stale
}

// latest returns the backlog as it was last read, however long ago, and asks nobody. It
// reports false when it was never read.
func (g *backlogGauge) latest() (admin.Backlog, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.kept, g.has
}
