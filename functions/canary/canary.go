// Package canary checks, while the relay is awake anyway, that published events reach
// listeners: once a minute it writes a row into a stream of its own, which the relay
// publishes like any other, and waits to hear it through Pusher, as a browser does.
//
// It keeps nothing awake: it runs only beside the hot loop, and its rows request no
// wake-up. After a canary the relay does not linger, and it never sends one twice.
package canary

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/listen"
)

// Results of one canary.
const (
	Heard     = "heard"
	Missed    = "missed"    // not heard within Config.Patience
	Unheard   = "unheard"   // there was no connection to hear it by
	Unwritten = "unwritten" // the database did not answer
)

// Store writes a canary's row, unless it is too early; it returns what the row carries, 0
// for none, and when to ask again. *outbox.DB is one.
type Store interface {
	Canary(ctx context.Context) (n int64, again time.Duration, err error)
}

// Config is what a canary is made of. The zero values of Patience and Connect mean the
// defaults.
type Config struct {
	Store   Store
	Listen  listen.Config // without its functions
	Observe func(result string, took time.Duration)
	Log     *slog.Logger

	Patience time.Duration // until a canary counts as missed; 20 s
	Connect  time.Duration // until there must be a connection; 15 s
}

const (
	every    = time.Minute     // after a failure; else as the database says
	callTime = 5 * time.Second // for the database
)

// Canary is made by [New]. Its Run is for one goroutine at a time.
type Canary struct {
	Config
	next time.Time
}

// New returns a canary that does nothing before Run.
func New(c Config) *Canary {
	c.Patience = cmp.Or(c.Patience, 20*time.Second)
	c.Connect = cmp.Or(c.Connect, 15*time.Second)
	return &Canary{Config: c}
}

// ear is the connection by which canaries are heard.
type ear struct {
	subscribed chan struct{} // a signal for each time that hearing began
	heard      chan int64    // what canaries carry; who waits for one reads them all
	live       atomic.Bool
	losses     atomic.Int64 // of connections
}

// Run writes and hears canaries until ctx ends, which is when the relay sleeps. A
// connection is made when the first is due, and kept meanwhile.
func (c *Canary) Run(ctx context.Context) {
	if !backoff.Sleep(ctx, time.Until(c.next)) {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &ear{subscribed: make(chan struct{}, 1), heard: make(chan int64, 8)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.listen(ctx, e)
	}()
	for backoff.Sleep(ctx, time.Until(c.next)) {
		if e.waitLive(ctx, c.Connect) {
			c.once(ctx, e)
		} else if ctx.Err() == nil {
			c.next = time.Now().Add(every)
			c.Observe(Unheard, 0)
		}
	}
	cancel()
	<-done
}

func (c *Canary) listen(ctx context.Context, e *ear) {
	on := c.Listen
	on.Subscribed = func() {
		e.live.Store(true)
		offer(e.subscribed, struct{}{})
	}
	on.Event = func(_ string, data json.RawMessage) {
		var canary struct{ N int64 }
		if json.Unmarshal(data, &canary) == nil && canary.N != 0 {
			offer(e.heard, canary.N)
		}
	}
	on.Lost = func(err error) {
		e.live.Store(false)
		e.losses.Add(1)
		c.Log.Info("canary: no connection to Pusher", slog.Any("err", err))
	}
	on.Run(ctx)
}

// offer hands a value on, unless nobody has taken the last ones.
func offer[T any](to chan T, v T) {
	select {
	case to <- v:
	default:
	}
}

// waitLive waits for a connection.
func (e *ear) waitLive(ctx context.Context, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for !e.live.Load() {
		select {
		case <-e.subscribed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// once writes a canary, if it is time for one, and waits for it.
func (c *Canary) once(ctx context.Context, e *ear) {
	began, losses := time.Now(), e.losses.Load()
	limited, cancel := context.WithTimeout(ctx, callTime)
	n, again, err := c.Store.Canary(limited)
	cancel()
	c.next = began.Add(min(max(again, time.Second), every))
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		c.next = began.Add(every)
		c.Log.Info("canary: not written", slog.Any("err", err))
		c.Observe(Unwritten, 0)
		return
	}
	if n == 0 {
		return
	}
	patience := time.NewTimer(c.Patience)
	defer patience.Stop()
	for {
		select {
		case heard := <-e.heard:
			if heard == n {
				c.Observe(Heard, time.Since(began))
				return
			}
		case <-patience.C:
			if e.losses.Load() != losses {
				c.Observe(Unheard, 0)
				return
			}
			c.Log.Warn("canary: not heard: what is published may not reach browsers", slog.Duration("within", c.Patience))
			c.Observe(Missed, 0)
			return
		case <-ctx.Done():
			return
		}
	}
}
