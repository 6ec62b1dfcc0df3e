package main

import (
	"time"

	"roomcast/functions/relay"
	"roomcast/shared/pace"
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
}

func newPolling(trouble func() *relay.Trouble) *polling {
	return &polling{trouble: trouble, pace: pace.New(pace.Config{Min: pollLeast, Max: pollMost, PerMinute: pollPerMinute})}
}

// seconds counts a request and returns when its page is to come again, 0 for not at all.
func (p *polling) seconds() int {
	every := p.pace.Arrived("", time.Now())
	if p.trouble() == nil {
		return 0
	}
	return int(every.Seconds())
}
