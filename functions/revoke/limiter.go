package revoke

import (
	"slices"
	"sync"
	"time"

	"roomcast/shared/recent"
)

// A user is disconnected at most perUser times in perUserIn. A user who may add and remove
// others in a room of their own could otherwise keep them offline everywhere. Beyond it
// the room waits; its members fetch its events over HTTP, where the database decides.
const (
	perUser   = 3
	perUserIn = time.Minute
	maxUsers  = 1 << 15 // remembered in each generation, about 4 MB
)

// limiter counts the disconnects of each user.
type limiter struct {
	mu    sync.Mutex
	users *recent.Map[string, attempts]
}

// attempts are a user's disconnects that count against the limit, the oldest first, and
// when the last confirmed one began.
type attempts struct {
	at        []time.Time
	confirmed time.Time
}

func newLimiter() *limiter {
	return &limiter{users: recent.New[string, attempts](perUserIn, maxUsers)}
}

// take counts a disconnect, or returns how long the user has to be left alone.
func (l *limiter) take(user string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, _ := l.users.Get(user, now)
	a.at = slices.DeleteFunc(slices.Clone(a.at), func(t time.Time) bool { return !recent.Within(t, now, perUserIn) })
	if len(a.at) >= perUser {
		return perUserIn - now.Sub(a.at[0])
	}
	a.at = append(a.at, now)
	l.users.Put(user, a, now)
	return 0
}

// giveBack takes a disconnect that failed out of the count.
func (l *limiter) giveBack(user string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, ok := l.users.Get(user, at); ok {
		a.at = slices.DeleteFunc(slices.Clone(a.at), at.Equal)
		l.users.Put(user, a, at)
	}
}

// done notes a confirmed disconnect by when it began.
func (l *limiter) done(user string, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, _ := l.users.Get(user, began)
	if began.After(a.confirmed) {
		a.confirmed = began
		l.users.Put(user, a, began)
	}
}

// doneSince reports whether a confirmed disconnect of the user began after a time. One
// that ends the access to many rooms at once is made once.
func (l *limiter) doneSince(user string, since, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, _ := l.users.Get(user, now)
	return !a.confirmed.IsZero() && a.confirmed.After(since)
}
