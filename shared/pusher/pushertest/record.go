package pushertest

import (
	"context"
	"sync"
	"time"
)

// Accepted is one event in one channel that the server answered, or would have answered,
// with 200.
type Accepted struct {
	Channel  string    `json:"channel"`
	Name     string    `json:"name"`
	Data     string    `json:"data"` // as sent; sealed on encrypted channels
	SocketID string    `json:"socket_id,omitempty"`
	At       time.Time `json:"at"`      // by Options.Clock
	Request  int       `json:"request"` // which accepted request brought it, from 1
	Batch    int       `json:"batch"`   // its place in that request, from 0
	Dropped  bool      `json:"dropped"` // a Fault kept it from the subscribers
}

// recorder keeps accepted events, oldest first. Recorded entries are never changed, so that
// snapshots can share their memory.
type recorder struct {
	limit   int // see Options.Record
	changed broadcast

	mu     sync.Mutex
	events []Accepted
	total  int
	hear   []func(Accepted)
}

func (r *recorder) add(events []Accepted) {
	r.mu.Lock()
	r.total += len(events)
	if r.limit > 0 {
		r.events = append(r.events, events...)
		if len(r.events) > r.limit {
			kept := r.events[len(r.events)-r.limit/2:]
			r.events = append(make([]Accepted, 0, r.limit), kept...)
		}
	}
	hear := r.hear
	r.mu.Unlock()
	for _, fn := range hear {
		for _, e := range events {
			fn(e)
		}
	}
	r.changed.notify()
}

func (r *recorder) snapshot() []Accepted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events[:len(r.events):len(r.events)]
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// Events returns what is remembered of the accepted events, in the order they were accepted
// in. The slice is the caller's to read, not to change.
func (s *Server) Events() []Accepted { return s.record.snapshot() }

// Forget drops the remembered events; counts go on.
func (s *Server) Forget() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.events = nil
}

// OnEvent has fn called for every event accepted from now on, one at a time, in order. The
// publisher's answer waits for it, so it must be quick and must not publish.
func (s *Server) OnEvent(fn func(Accepted)) {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	// A new slice: the old one may be in use.
	s.record.hear = append(s.record.hear[:len(s.record.hear):len(s.record.hear)], fn)
}

// Wait returns nil as soon as done says so of the remembered events, asking again after each
// request that brings more; or the context's error.
func (s *Server) Wait(ctx context.Context, done func([]Accepted) bool) error {
	return s.record.changed.until(ctx, func() bool { return done(s.record.snapshot()) })
}

// broadcast wakes all who wait for something to change. Its zero value works.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // nil while nobody waits
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// until returns when done says so, asking at first and after every notify.
func (b *broadcast) until(ctx context.Context, done func() bool) error {
	for {
		// The channel first: a change between the question and the wait is then not missed.
		b.mu.Lock()
		if b.ch == nil {
			b.ch = make(chan struct{})
		}
		changed := b.ch
		b.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
