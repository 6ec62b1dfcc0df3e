package parity

import (
	"sync"
	"time"
)

const (
	minEvery = time.Minute // how often a page reports when there are few
	maxEvery = time.Hour   // and at most when there are many
	perTick  = 300         // the receipts per minute that this process wants
)

// perUser is how many receipts a minute of one user count: as many as rooms are open in
// their pages. Whoever sends more makes nobody wait but himself.
const perUser = 10

// maxUsers bounds the users that are told apart in a minute; those beyond count as one.
const maxUsers = 10_000

// load keeps the receipts of many pages near perTick a minute, by asking each to come
// less often. They count on meanwhile, so that little is lost by it: a client forgets
// the oldest of a thousand events that it has not told. The zero load is ready.
type load struct {
	mu    sync.Mutex
	since time.Time // when this minute began
	count int       // its receipts
	by    map[string]int
	every time.Duration
}

// arrived counts a receipt of a user and returns when its page is to send the next one.
func (l *load) arrived(user string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.note(user)
	if l.every == 0 || now.Before(l.since) {
		l.since, l.every = now, minEvery
	}
	if past := now.Sub(l.since); past >= time.Minute {
		// As many pages as sent these, at the pace they were told.
		pages := float64(l.count) / past.Minutes() * l.every.Minutes()
		l.every = min(max(time.Duration(pages/perTick*float64(time.Minute)), minEvery), maxEvery).Round(time.Second)
		l.since, l.count, l.by = now, 0, nil
	}
	return l.every
}

// note is called with mu held.
func (l *load) note(user string) {
	if l.by == nil {
		l.by = make(map[string]int)
	}
	if _, known := l.by[user]; !known && len(l.by) >= maxUsers {
		user = ""
	}
	if l.by[user]++; l.by[user] <= perUser {
		l.count++
	}
}
