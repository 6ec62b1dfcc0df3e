// Package revoke ends a user's access to a room's events: it disconnects them.
//
// Pusher has no way to end one subscription. What it has is to end every connection that
// signed in as a user; the page connects again, and the database refuses the room. So a
// departure (user-left) takes these steps:
//
//	relay reaches it ▶ queued in the database ▶ disconnected ▶ relay goes on ▶ grace ▶ disconnected again
//
// The relay publishes nothing numbered after the departure before the first disconnect
// is confirmed, and acks the departure only then: whichever relay comes next starts at
// the departure again. The second disconnect catches answers that were under way when
// the membership ended: a signature for a connection that had yet to sign in, a yes that
// another machine's coalescer remembered. It is kept in the database until confirmed,
// and holds up the room when it is overdue.
package revoke

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/pusher"
)

// Grace is the time between the two disconnects. Nobody may remember for so long that a
// user may read a room (see authorize.CoalescerConfig). With it access ends well within
// the two seconds that are promised.
const Grace = time.Second

const (
	parallel  = 32               // calls to Pusher at once, of one room's departures or one round
	callLimit = 5 * time.Second  // of one call to Pusher
	dbLimit   = 10 * time.Second // of one call to the database
	overdueBy = 500 * time.Millisecond
)

// Store keeps the second disconnects; [access.Store] is one.
type Store interface {
	QueueRevocations(ctx context.Context, departures []access.Departure, grace time.Duration) (access.Leavers, error)
	ClaimRevocations(ctx context.Context, most int, lease time.Duration) ([]access.Revocation, error)
	ConfirmRevocations(ctx context.Context, confirmed []access.Confirmation) error
	PendingRevocations(ctx context.Context, users []string) (pending []string, err error)
}

// Terminator ends a user's connections; *pusher.Client is one. Only connections that
// signed in as the user can be found (pusher.com/docs/channels/server_api/terminating-user-connections).
type Terminator interface {
	TerminateUser(ctx context.Context, userID string) error
}

var (
	_ Store      = access.Store{}
	_ Terminator = (*pusher.Client)(nil)
)

// Config is what a Revoker is made of. Store, Terminator and Log are needed.
type Config struct {
	Store      Store
	Terminator Terminator
	Log        *slog.Logger
	// Forget, if set, is told every user who left a room, as soon as that is known:
	// what remembers whom a room may be read by must ask again.
	Forget func(userID string)
	// Observe, if set, is told what came of each attempt: accepted, limited, given up,
	// unsupported, or the class of the failure.
	Observe func(result string)
	// FirstPoll is how long to leave what other relays left behind. By default it is done at once.
	FirstPoll time.Duration
}

// Revoker disconnects users. It is safe for concurrent use and has no goroutine at rest.
type Revoker struct {
	Config
	limiter *limiter
	waiting *waiting

	mu     sync.Mutex
	nextAt time.Time // when to ask the database for second disconnects
	round  chan struct{}
	failed int // rounds in a row that the database did not answer
}

// New returns a Revoker.
func New(c Config) *Revoker {
	if c.Forget == nil {
		c.Forget = func(string) {}
	}
	if c.Observe == nil {
		c.Observe = func(string) {}
	}
	return &Revoker{Config: c, limiter: newLimiter(), waiting: newWaiting(), nextAt: time.Now().Add(c.FirstPoll)}
}

// Revoke disconnects the users of these departures, all of one room, which the relay
// first read from the database at a time. Without an error each was disconnected after that,
// and a second disconnect of each is queued. With one, nothing numbered after these
// departures may be published; wait is how long to wait at least before the next attempt.
func (r *Revoker) Revoke(ctx context.Context, departures []access.Departure, read time.Time) (wait time.Duration, err error) {
	before := time.Now()
	left, err := r.queue(ctx, departures)
	if err != nil {
		return 0, err
	}
	after := time.Now()
	for _, user := range left.Users {
		r.Forget(user)
		r.waiting.add(user, departures[0].Room, before.Add(Grace), after.Add(Grace))
	}
	r.soon(Grace)
	users := slices.Concat(left.Users, left.Known)
	results := make([]error, len(users), len(users)+1)
	inParallel(len(users), func(i int) { results[i] = r.disconnect(ctx, users[i], read) })
	if left.More {
		results = append(results, errMore)
	}
	for _, result := range results {
		if result == nil {
			continue
		}
		var limited limitedError
		if errors.As(result, &limited) {
			wait = max(wait, limited.wait)
		}
		err = result
	}
	return wait, err
}

// errMore says that a bulk change ended the access of more users than one attempt takes.
var errMore = errors.New("more users left than are disconnected at once")

func (r *Revoker) queue(ctx context.Context, departures []access.Departure) (access.Leavers, error) {
	ctx, cancel := context.WithTimeout(ctx, dbLimit)
	defer cancel()
	return r.Store.QueueRevocations(ctx, departures, Grace)
}

// Held reports whether a second disconnect of somebody who left this room is overdue:
// nothing may be published to the room meanwhile.
func (r *Revoker) Held(room string) bool { return r.waiting.overdue(room, time.Now()) }

// disconnect ends a user's connections once, unless that was done since a time.
func (r *Revoker) disconnect(ctx context.Context, user string, since time.Time) error {
	start := time.Now()
	if r.limiter.doneSince(user, since, start) {
		return nil
	}
	if wait := r.limiter.take(user, start); wait > 0 {
		r.Observe("limited")
		return limitedError{wait}
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	err := r.Terminator.TerminateUser(ctx, user)
	result, final := sortResult(err)
	r.Observe(result)
	if err != nil && final {
		r.Log.Error("a user who left a room cannot be disconnected and may still hear it", slog.String("result", result), slog.Any("err", err))
	}
	if err == nil || final {
		r.limiter.done(user, start)
		return nil
	}
	r.limiter.giveBack(user, start)
	return err
}

// inParallel calls fn for 0 to n-1, a few at a time.
func inParallel(n int, fn func(i int)) {
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			fn(i)
			<-slots
		})
	}
	wg.Wait()
}
