package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"roomcast/shared/recent"
)

// Secrets checks the secret of a caller who has no account, and slows down who guesses.
//
// An address may be wrong ten times, and then once in ten seconds; all addresses together
// a thousand times, and then ten times a second. Beyond that nothing is compared: the
// answer is 429 whatever the secret. Two kinds of callers are compared in any case, so
// that nobody's guessing locks out who knows: those whose address has shown the right
// secret within a day, and, however many guess elsewhere, those whose address has not
// been wrong of late. It is safe for concurrent use.
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

// Check checks a secret that r has brought in some way of its own; "" is none. Its error
// is an answer: 401, or 429.
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

// mustWait says how long an address must wait before a secret of its is compared.
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
