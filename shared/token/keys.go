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

// keySet caches the keys of one JWKS endpoint. Fetches happen inside lookup,
// one at a time; all times are the clock's, without its monotonic part, which
// stands still while a machine is suspended.
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
	for {
		s.mu.Lock()
		now := s.clock()
		k, known := s.keys[kid]
		usable := known && recent.Within(s.fetched, now, staleFor)
		switch {
		case known && recent.Within(s.fetched, now, freshFor):
			s.mu.Unlock()
			return k, nil
		case s.busy != nil && usable: // no reason to wait
			s.mu.Unlock()
			return k, nil
		case s.busy != nil:
			busy := s.busy
			s.mu.Unlock()
			select {
			case <-busy: // look again
			case <-ctx.Done():
				return key{}, fmt.Errorf("%w: %w", ErrKeysUnavailable, ctx.Err())
			}
		case recent.Within(s.tried, now, s.pause()):
			defer s.mu.Unlock()
			return s.settle(k, usable)
		default:
			s.busy = make(chan struct{})
			s.mu.Unlock()
			s.refresh(ctx)
		}
	}
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

// refresh fetches once, in the goroutine of the caller that found it due. The
// caller's cancellation is set aside, as others wait for the same answer; the
// fetch has a timeout of its own.
func (s *keySet) refresh(ctx context.Context) {
	var keys map[string]key
	err := errInterrupted
	defer func() { // deferred, as a panic must not leave the others waiting
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tried, s.err = s.clock(), err
		if err == nil {
			s.keys, s.fetched = keys, s.tried
		} else {
			s.log.WarnContext(ctx, "key set unavailable", "error", err, "cached", len(s.keys))
		}
		close(s.busy)
		s.busy = nil
	}()
	keys, err = s.fetch(context.WithoutCancel(ctx))
}

// check fetches without regard to the cache, and leaves it alone.
func (s *keySet) check(ctx context.Context) (int, error) {
	keys, err := s.fetch(ctx)
	return len(keys), err
}
