package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limiter bounds how many requests one address makes: a bucket of tokens each, that
// fills at a steady rate. It keeps one caller from taking what is everybody's; it is
// no credential (see [ClientIP]) and no defence against many addresses.
//
// An office or a school is one address, whose clients all come back at once after a
// cut: the burst must be large. Its memory is bounded. It is safe for concurrent use.
type Limiter struct {
	rate  float64 // tokens a second
	burst float64
	clock func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets bounds the addresses that are known at once, about 6 MB.
const maxBuckets = 50_000

// NewLimiter allows rate requests a second to each address, and burst at once. A
// rate of 0 allows everything. clock is time.Now or a test's.
func NewLimiter(rate, burst float64, clock func() time.Time) *Limiter {
	return &Limiter{rate: rate, burst: burst, clock: clock, buckets: make(map[netip.Prefix]bucket)}
}

// Guard answers 429 in h's place when the caller's address has used up its share.
func (l *Limiter) Guard(h HandlerFunc) HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if wait := l.take(ClientIP(r)); wait > 0 {
			return &Error{Status: http.StatusTooManyRequests, Reason: "too many requests from this address", RetryAfter: wait}
		}
		return h(w, r)
	}
}

// take takes a token for an address, or says how long until there is one again.
func (l *Limiter) take(ip string) (wait time.Duration) {
	key, known := network(ip)
	if l.rate <= 0 || !known {
		return 0
	}
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[key]
	if !ok {
		l.makeRoom(now)
		b = bucket{l.burst, now}
	}
	b = l.fill(b, now)
	if b.tokens < 1 {
		l.buckets[key] = b
		return time.Duration((1 - b.tokens) / l.rate * float64(time.Second))
	}
	b.tokens--
	l.buckets[key] = b
	return 0
}

func (l *Limiter) fill(b bucket, now time.Time) bucket {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens = min(l.burst, b.tokens+passed.Seconds()*l.rate)
	}
	b.at = now
	return b
}

// makeRoom drops the buckets that are full again, which tell nothing. If none is,
// all go: with so many addresses at work, a share for each protects nobody.
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

// network is what one caller has for himself: an IPv4 address, or the /64 that an
// IPv6 line is given.
func network(ip string) (netip.Prefix, bool) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}, false
	}
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits) // drops an IPv6 zone
	return prefix, err == nil
}
