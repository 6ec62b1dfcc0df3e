package main

import (
	"context"
	"sync"
	"time"

	"roomcast/shared/admin"
)

const (
	holdersFresh = 15 * time.Second // one read serves the scrapes of this time
	holdersOld   = time.Minute      // younger snapshots are everyday, and would make a series for each report
)

// snapshotGauge reads for scrapers who holds old snapshots, seldom.
type snapshotGauge struct {
	ask func(ctx context.Context, older time.Duration) ([]admin.Holder, error)

	mu      sync.Mutex
	reading reading[[]admin.Holder]
}

// read returns the last list, or a new one if that is no longer fresh. It reports false
// when the database did not answer, and does not ask again at once.
func (h *snapshotGauge) read() ([]admin.Holder, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list, err := h.reading.read(holdersFresh, func(ctx context.Context) ([]admin.Holder, error) { return h.ask(ctx, holdersOld) })
	return list, err == nil
}

// watchSnapshots adds who holds back cleaning, the oldest of each kind, or that nobody
// does. The database is not asked while the relay sleeps.
func (o *observations) watchSnapshots(busy func() bool, h *snapshotGauge) {
	o.Gauges("roomcast_oldest_snapshot_seconds",
		"Age of the oldest snapshot that keeps dead rows from being cleaned away, by kind and holder, from a minute on; absent asleep and while the database does not answer.",
		[]string{"kind", "who"}, func(yield func(float64, ...string)) {
			if !busy() {
				return
			}
			list, known := h.read()
			if known && len(list) == 0 {
				yield(0, "none", "")
			}
			told := map[string]bool{}
			for _, holder := range list { // the oldest first
				if !told[holder.Kind] {
					told[holder.Kind] = true
					yield(holder.Age.Seconds(), holder.Kind, holder.Who)
				}
			}
		})
}
