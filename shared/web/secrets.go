package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"roomcast/shared/recent"
)

// Secrets checks shared secrets and limits guessing.
//
// An address may be wrong ten times, then once in ten seconds; all addresses together a
// thousand times, then ten times a second. Beyond that the secret is not compared and the
// answer is 429. Two kinds of addresses are exempt, so that guessing does not lock out the
// real caller: one that has shown a right secret within a day, and, from the limit of all
// addresses, one that has not been wrong recently. It is safe for concurrent use.
type Secrets struct {
	accepted []string
	of       Addresses
	clock    func() time.Time
	wrong    *Limiter // by address

	mu    sync.Mutex
	all   bucket // of all addresses
	known *recent.Map[netip.Prefix, struct{}]
}

const (
	wrongAtOnce, wrongPerSecond       = 10, 0.1
	allWrongAtOnce, allWrongPerSecond = 1000, 10
	knownFor                          = 24 * time.Hour
	maxKnown                          = 1000
)

// NewSecrets accepts any of the secrets: several, while one is being rotated. An empty one
// is never accepted. clock is time.Now or a test's.
func NewSecrets(accepted []string, of Addresses, clock func() time.Time) *Secrets {
	return &Secrets{
		accepted: accepted, of: of, clock: clock,
		wrong: NewLimiter(wrongPerSecond, wrongAtOnce, of, clock),
		all:   bucket{allWrongAtOnce, clock()},
		known: recent.New[netip.Prefix, struct{}](knownFor, maxKnown),
	}
}

// Credential is the [Credential] of a route whose callers bring a secret as a bearer token.
func (s *Secrets) Credential(r *http.Request) (*http.Request, error) { return r, s.Bearer(r) }

// Bearer checks the request's bearer token. Its error is an answer: 401, or 429.
func (s *Secrets) Bearer(r *http.Request) error {
	candidate, _ := Bearer(r)
	return s.Check(r, candidate)
}

// Check checks a secret that the caller has read from r; "" means that there is none. Its
// error is an answer: 401, or 429.
func (s *Secrets) Check(r *http.Request, candidate string) error {
	if candidate == "" { // no guess
		return Unauthorized("missing", nil)
	}
	ip := s.of.Of(r)
	if wait := s.mustWait(ip); wait > 0 {
		return &Error{Status: http.StatusTooManyRequests, Field: "Authorization", Reason: "too many wrong secrets", RetryAfter: wait}
	}
	if !SecretIn(candidate, s.accepted) {
		s.note(ip)
		return Unauthorized("unknown secret", nil)
	}
	if key, ok := network(ip); ok {
		s.mu.Lock()
		s.known.Put(key, struct{}{}, s.clock())
		s.mu.Unlock()
	}
	return nil
}

// mustWait is how long an address has to wait until its secret is compared again.
func (s *Secrets) mustWait(ip string) time.Duration {
	key, _ := network(ip)
	wait, fresh := s.wrong.ask(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	if _, known := s.known.Get(key, now); known {
		return 0
	}
	s.all = fill(s.all, now, allWrongPerSecond, allWrongAtOnce)
	if s.all.tokens < 1 && !fresh {
		wait = max(wait, time.Second)
	}
	return wait
}

// note counts a wrong secret.
func (s *Secrets) note(ip string) {
	s.wrong.take(ip)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = fill(s.all, s.clock(), allWrongPerSecond, allWrongAtOnce)
	s.all.tokens = max(0, s.all.tokens-1)
}
