package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limiter bounds how many requests one address makes: a bucket of tokens each, that
// fills at a steady rate. It keeps one caller from taking what is everybody's; it is
// no credential and no defence against many addresses.
//
// An office or a school is one address, whose clients all come back at once after a
// cut: the burst must be large. Its memory is bounded. It is safe for concurrent use.
type Limiter struct {
	rate  float64 // tokens a second
	burst float64
	of    Addresses
	clock func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets bounds the addresses that are known at once, about 2 MB.
const maxBuckets = 16_000

// NewLimiter allows rate requests a second to each address, and burst at once. A
// rate of 0 allows everything. clock is time.Now or a test's.
func NewLimiter(rate, burst float64, of Addresses, clock func() time.Time) *Limiter {
	return &Limiter{rate: rate, burst: burst, of: of, clock: clock, buckets: make(map[netip.Prefix]bucket)}
}

// Limit answers 429 when the client's address is over its limit, before anything else is
// checked.
func Limit(l *Limiter) Option { return func(rt *route) { rt.limit = l } }

// check is an answer of 429, or nil.
func (l *Limiter) check(r *http.Request) error {
	if wait := l.take(l.of.Of(r)); wait > 0 {
		return &Error{Status: http.StatusTooManyRequests, Reason: "too many requests from this address", RetryAfter: wait}
	}
	return nil
}

// take takes a token of an address, or returns the time until there is one.
func (l *Limiter) take(ip string) (wait time.Duration) {
	key, known := network(ip)
	if l.rate <= 0 || !known {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	if b.tokens < 1 {
		wait = l.untilNext(b)
	} else {
		b.tokens--
	}
	l.buckets[key] = b
	return wait
}

// ask is take without taking. fresh: the address is known, and its bucket full.
func (l *Limiter) ask(ip string) (wait time.Duration, fresh bool) {
	key, known := network(ip)
	if l.rate <= 0 || !known {
		return 0, known
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[key]
	if !ok {
		return 0, true
	}
	if b = l.fill(b, l.clock()); b.tokens < 1 {
		wait = l.untilNext(b)
	}
	return wait, b.tokens >= l.burst
}

func (l *Limiter) untilNext(b bucket) time.Duration {
	return time.Duration((1 - b.tokens) / l.rate * float64(time.Second))
}

// bucket is the address's bucket as of now; a full one if there is none.
func (l *Limiter) bucket(key netip.Prefix) bucket {
	now := l.clock()
	b, ok := l.buckets[key]
	if !ok {
		l.makeRoom(now)
		return bucket{l.burst, now}
	}
	return l.fill(b, now)
}

func (l *Limiter) fill(b bucket, now time.Time) bucket { return fill(b, now, l.rate, l.burst) }

// fill is a bucket as it is now. A clock that was set back takes nothing away.
func fill(b bucket, now time.Time, rate, burst float64) bucket {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(burst, b.tokens+passed.Seconds()*rate)
	}
	b.at = now
	return b
}

// makeRoom drops the buckets that are full again: they hold no information. If that is
// not enough it drops all: with so many addresses active, a limit for each has no effect.
func (l *Limiter) makeRoom(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for key, b := range l.buckets {
		if l.fill(b, now).tokens >= l.burst {
			delete(l.buckets, key)
		}
	}
	if len(l.buckets) > maxBuckets*3/4 {
		clear(l.buckets)
	}
}
