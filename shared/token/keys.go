package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"roomcast/shared/recent"
)

// How the key set is kept. Supabase serves it from an edge cache of 10 minutes,
// so asking more often learns nothing.
const (
	// freshFor is how long keys are used without asking again.
	freshFor = 10 * time.Minute
	// askAgain is the least time between two fetches once there are keys: what
	// holds off both a flood of invented key ids and a dead endpoint.
	askAgain = time.Minute
	// askAgainCold replaces it while there is no key at all and every user is
	// turned away.
	askAgainCold = 5 * time.Second
	// staleFor bounds how long keys serve while the endpoint is down. A key
	// that was revoked meanwhile lives that long at most.
	staleFor = 24 * time.Hour
)

var errInterrupted = errors.New("key set: fetch interrupted")

// RetryAfter is when to come back after ErrKeysUnavailable.
const RetryAfter = askAgainCold

// patience is how long a lookup waits for a fresh set if it has a usable older key: long
// enough for an answer that revokes the key, short enough if the endpoint hangs.
const patience = 500 * time.Millisecond

// keySet caches the keys of one JWKS endpoint. One fetch at a time is made, when lookup
// finds it due; all times are the clock's, without its monotonic part, which stands still
// while a machine is suspended.
type keySet struct {
	clock func() time.Time
	log   *slog.Logger
	fetch func(context.Context) (map[string]key, error)

	mu      sync.Mutex
	keys    map[string]key
	fetched time.Time     // last success
	tried   time.Time     // end of the last attempt
	err     error         // what came of it
	busy    chan struct{} // closed when the fetch under way ends; nil if none
}

func newKeySet(url string, clock func() time.Time, client *http.Client, log *slog.Logger) *keySet {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &keySet{
		clock: func() time.Time { return clock().Round(0) },
		log:   log,
		fetch: fetcher(url, client),
	}
}

// lookup returns the key named kid, ErrUnknownKey if the set has none such, or
// ErrKeysUnavailable if that cannot be told.
func (s *keySet) lookup(ctx context.Context, kid string) (key, error) {
	var enough <-chan time.Time // fires when the older key is to be used
	for {
		k, usable, fetch, err := s.now(ctx, kid)
		if fetch == nil {
			return k, err
		}
		if usable && enough == nil {
			timer := time.NewTimer(patience)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case <-fetch: // ask again
		case <-enough:
			return k, nil
		case <-ctx.Done():
			return key{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, ctx.Err())
		}
	}
}

// now answers from the cache, or returns a channel that is closed when the fetch under way
// ends; it starts one if due. usable: k may be used if the fetch takes too long.
func (s *keySet) now(ctx context.Context, kid string) (k key, usable bool, fetch <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	k, known := s.keys[kid]
	usable = known && recent.Within(s.fetched, now, staleFor)
	switch {
	case known && recent.Within(s.fetched, now, freshFor):
		return k, true, nil, nil
	case s.busy != nil:
		return k, usable, s.busy, nil
	case recent.Within(s.tried, now, s.pause()):
		k, err = s.settle(k, usable)
		return k, usable, nil, err
	}
	s.busy = make(chan struct{})
	go s.refresh(context.WithoutCancel(ctx)) // others wait for the same answer
	return k, usable, s.busy, nil
}

// pause is how long to leave the endpoint alone after an attempt.
func (s *keySet) pause() time.Duration {
	if len(s.keys) == 0 && s.err != nil {
		return askAgainCold
	}
	return askAgain
}

// settle answers from what is at hand, when it is too early to ask again.
func (s *keySet) settle(k key, usable bool) (key, error) {
	switch {
	case usable:
		return k, nil
	case s.err != nil:
		return key{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, s.err)
	default:
		return key{}, ErrUnknownKey
	}
}

// refresh fetches once, within fetchTimeout.
func (s *keySet) refresh(ctx context.Context) {
	var keys map[string]key
	err := errInterrupted
	defer func() {
		if p := recover(); p != nil { // no request's goroutine is there to catch it
			err = fmt.Errorf("%w: panic: %v", errInterrupted, p)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tried, s.err = s.clock(), err
		if err == nil {
			s.keys, s.fetched = keys, s.tried
		} else {
			s.log.WarnContext(ctx, "key set unavailable", "err", err, "cached", len(s.keys))
		}
		close(s.busy)
		s.busy = nil
	}()
	keys, err = s.fetch(ctx)
}

// check fetches without regard to the cache, and leaves it alone.
func (s *keySet) check(ctx context.Context) (int, error) {
	keys, err := s.fetch(ctx)
	return len(keys), err
}
