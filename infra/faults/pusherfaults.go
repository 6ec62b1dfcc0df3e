package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/pusher/pushertest"
)

// publishing matches the relays' requests and nothing else; anyChannel begins the
// pattern of a room's channel, packed or not.
const (
	publishing = "/apps/*/batch_events"
	anyChannel = "private-*room-"
)

// catchPublishing holds a request of one room up before Pusher reads it, and says
// which relay waits for the answer. A dead client's request is dropped; that of a
// frozen one is accepted after a while.
func (s *scene) catchPublishing(ctx context.Context) (*relay, string, error) {
	for range 100 {
		room := s.room()
		hold := s.pusher.Inject(pushertest.Fault{Path: publishing, Channel: anyChannel + room, Delay: 2 * time.Second, Times: 1})
		err := s.until(ctx, "a request to hold up", func() bool { return hold.Hits() > 0 })
		if err != nil {
			return nil, "", err
		}
		if r, err := s.holder(ctx, room); err != nil || r != nil {
			return r, room, err
		}
	}
	return nil, "", fmt.Errorf("no relay was caught publishing")
}

// trouble writes, has all the faults at work for a while, and ends them.
func (s *scene) trouble(ctx context.Context, lasts time.Duration, faults ...pushertest.Fault) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	var all []*pushertest.Injection
	for _, f := range faults {
		f.Path = publishing
		all = append(all, s.pusher.Inject(f))
	}
	backoff.Sleep(ctx, lasts)
	err := s.until(ctx, "each fault to hit", func() bool {
		return !slices.ContainsFunc(all, func(i *pushertest.Injection) bool { return i.Hits() == 0 })
	})
	s.pusher.Clear()
	return err
}

// some is about d, by chance, and half as long in the short form.
func (s *scene) some(d time.Duration) time.Duration {
	if s.short {
		d /= 2
	}
	return d/2 + time.Duration(s.rnd.Int64N(int64(d)))
}

// clockOff moves Pusher's clock, which is the same to both as moving the relay's: its
// signatures are refused with 401, more than ten minutes old.
func clockOff(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	s.skew.Store(int64(15 * time.Minute))
	backoff.Sleep(ctx, s.some(3*time.Second))
	s.skew.Store(0)
	return nil
}

// times is n, or a third of it in the short form.
func (s *scene) times(n int) int {
	if s.short {
		return n / 3
	}
	return n
}

func pusherSlow(ctx context.Context, s *scene) error {
	return s.trouble(ctx, s.some(8*time.Second), pushertest.Fault{Delay: time.Second})
}

// pusherHangs outlasts the client's timeout for some requests.
func pusherHangs(ctx context.Context, s *scene) error {
	return s.trouble(ctx, s.some(6*time.Second), pushertest.Fault{Hang: true, Times: 10})
}

// pusherResets cuts connections before and after it has accepted what they brought.
func pusherResets(ctx context.Context, s *scene) error {
	return s.trouble(ctx, s.some(5*time.Second),
		pushertest.Fault{Reset: true, Match: s.oneIn(4)}, pushertest.Fault{ResetAfterAccept: true, Match: s.oneIn(4)})
}

func pusherRubbish(ctx context.Context, s *scene) error {
	return s.trouble(ctx, s.some(4*time.Second), pushertest.Fault{AnswerAfterAccept: "<html>\x00 {welcome"})
}

// pusherStorms answers half of all requests with something else each time.
func pusherStorms(ctx context.Context, s *scene) error {
	storm := []pushertest.Fault{{Status: http.StatusTooManyRequests, RetryAfter: time.Second, Match: s.oneIn(20)}}
	for _, status := range []int{500, 503, 429, 502, 408, 504} {
		storm = append(storm, pushertest.Fault{Status: status, Match: s.oneIn(10)})
	}
	return s.trouble(ctx, s.some(6*time.Second), storm...)
}

// oneIn matches one request in n.
func (s *scene) oneIn(n int) func(*http.Request) bool {
	var mu sync.Mutex // requests come side by side
	rnd := rand.New(rand.NewPCG(s.rnd.Uint64(), 0))
	return func(*http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		return rnd.IntN(n) == 0
	}
}

func pusherDown(ctx context.Context, s *scene) error {
	if err := s.write(ctx, 300); err != nil {
		return err
	}
	s.pusher.Stop()
	backoff.Sleep(ctx, s.some(10*time.Second))
	return s.pusher.Start()
}

// poison has messages in the traffic that Pusher refuses with 413, and whole batches
// with them.
func poison(ctx context.Context, s *scene) error {
	s.chat.poison = true
	return s.write(ctx, s.times(3000))
}

// failingRoom has Pusher fail on one room until everything else is through.
func failingRoom(ctx context.Context, s *scene) error {
	failing := s.room()
	s.pusher.Inject(pushertest.Fault{Path: publishing, Channel: anyChannel + failing, Status: http.StatusInternalServerError})
	if err := s.write(ctx, 1000); err != nil {
		return err
	}
	s.chat.stop()
	began := time.Now()
	if err := s.until(ctx, "the healthy rooms", func() bool { return s.ledger.missing(failing) == 0 }); err != nil {
		return err
	}
	s.note("the other rooms were through %.1f s after the last commit", time.Since(began).Seconds())
	s.pusher.Clear()
	return nil
}
