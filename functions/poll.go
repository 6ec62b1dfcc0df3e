package main

import (
	"sync"
	"time"

	"roomcast/functions/relay"
	"roomcast/shared/pace"
	"roomcast/shared/selfcheck"
)

// While Pusher does not accept events, pages poll. A page that acts is promised a message
// within 15 s and one that only looks within two minutes, so each is asked to come every
// 10 s, and at most every minute where more pages come than this.
const (
	pollLeast     = 10 * time.Second
	pollMost      = time.Minute
	pollPerMinute = 3000
)

// polling tells pages how often to poll.
type polling struct {
	trouble func() *relay.Trouble
	pace    *pace.Pace

	mu           sync.Mutex
	every        time.Duration
	minute       time.Time // that count counts
	count        int       // requests
	beforeMinute int       // those of the minute before
}

func newPolling(trouble func() *relay.Trouble) *polling {
	return &polling{trouble: trouble, pace: pace.New(pace.Config{Min: pollLeast, Max: pollMost, PerMinute: pollPerMinute})}
}

// seconds counts a request and returns when its page is to come again, 0 for not at all.
func (p *polling) seconds() int {
	now := time.Now()
	every := p.pace.Arrived("", now)
	p.mu.Lock()
	p.turn(now)
	p.count++
	p.every = every
	p.mu.Unlock()
	if p.trouble() == nil {
		return 0
	}
	return int(every.Seconds())
}

// turn begins another minute, if it is time. mu is held.
func (p *polling) turn(now time.Time) {
	switch past := now.Sub(p.minute); {
	case past >= 2*time.Minute:
		p.minute, p.beforeMinute, p.count = now, 0, 0
	case past >= time.Minute:
		p.minute, p.beforeMinute, p.count = p.minute.Add(time.Minute), p.count, 0
	}
}

// report says why pages poll and what it costs; nil while they do not.
func (p *polling) report(now time.Time) *selfcheck.Polling {
	trouble := p.trouble()
	if trouble == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(now)
	r := &selfcheck.Polling{
		Since: trouble.Since, Answer: oneLine(trouble.Err), EverySeconds: int(max(p.every, pollLeast).Seconds()),
		LastMinute: max(p.count, p.beforeMinute),
	}
	if !trouble.RetryAt.IsZero() {
		r.RetryAt = &trouble.RetryAt
	}
	return r
}
