package parity

import (
	"sync"
	"time"
)

const (
	minEvery = time.Minute      // how often a page reports when there are few
	maxEvery = 15 * time.Minute // and at most when there are many
	perTick  = 300              // the receipts per minute that this process wants
)

// load keeps the receipts of many pages near perTick a minute. Asking pages to come
// less often loses nothing, since they count on; only when they are too many for that
// does it ask a share of them to stop. The zero load is ready.
type load struct {
	mu    sync.Mutex
	since time.Time // when this minute began
	count int       // its receipts
	every time.Duration
	share float64
}

// arrived counts a receipt and returns what its page is to be told.
func (l *load) arrived(now time.Time) (every time.Duration, share float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.every == 0 || now.Before(l.since) {
		l.since, l.every, l.share = now, minEvery, 1
	}
	if past := now.Sub(l.since); past >= time.Minute {
		l.turn(past)
		l.since, l.count = now, 0
	}
	l.count++
	return l.every, l.share
}

// turn estimates how many pages there are from how many came, at the pace and the
// share they were told, and says what suits so many.
func (l *load) turn(past time.Duration) {
	perMinute := float64(l.count) / past.Minutes()
	pages := perMinute * l.every.Minutes() / l.share
	l.every = min(max(time.Duration(pages/perTick*float64(time.Minute)), minEvery), maxEvery).Round(time.Second)
	l.share = min(1, perTick*maxEvery.Minutes()/max(pages, 1))
}
