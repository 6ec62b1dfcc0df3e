package main

import (
	"context"
	"sync"
	"time"

	"roomcast/shared/admin"
)

const (
	backlogFresh = 5 * time.Second // one look serves the gauges of one scrape, and scrapers in a hurry
	backlogLimit = time.Second     // a scrape must not wait for a database in trouble
)

// backlogGauge looks at the backlog for those who scrape, seldom.
type backlogGauge struct {
	look func(context.Context) (admin.Backlog, error)

	mu   sync.Mutex
	at   time.Time
	last admin.Backlog
	err  error
}

// read returns the last look, or a new one if that is no longer fresh. It reports
// false when the database did not answer, and does not ask again at once.
func (g *backlogGauge) read() (admin.Backlog, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.at.IsZero() || time.Since(g.at) > backlogFresh {
		ctx, cancel := context.WithTimeout(context.Background(), backlogLimit)
		defer cancel()
		g.last, g.err = g.look(ctx)
		g.at = time.Now()
	}
	return g.last, g.err == nil
}
