package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"roomcast/shared/pusher"
)

// The app that everybody posts to. The sink does not check signatures: what it
// costs is taken from both sides of every comparison, so it is to cost little.
const (
	appID     = "1001"
	appKey    = "load-key"
	appSecret = "load-secret"
)

// sink stands for Pusher: it accepts events, counts them, and answers after a
// settable delay. It is a relay.Publisher, too.
type sink struct {
	addr    string // host:port
	server  *http.Server
	done    chan struct{}
	buffers sync.Pool

	delay  atomic.Int64 // of each answer, in nanoseconds
	events atomic.Int64 // accepted
	goal   atomic.Pointer[goal]
	note   atomic.Pointer[func(body []byte, at time.Time)]
}

// goal is a number of events that somebody waits for.
type goal struct {
	at      int64
	reached chan time.Time
}

func openSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("sink: %w", err)
	}
	s := &sink{addr: l.Addr().String(), done: make(chan struct{})}
	s.buffers.New = func() any { return new(bytes.Buffer) }
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(l) // ends in ErrServerClosed
	}()
	return s, nil
}

func (s *sink) close() error {
	err := s.server.Close()
	<-s.done
	return err
}

// reset forgets what a scenario set.
func (s *sink) reset() {
	s.delay.Store(0)
	s.goal.Store(nil)
	s.note.Store(nil)
}

// listen has note called with the body of each accepted call, until stop.
func (s *sink) listen(note func(body []byte, at time.Time)) (stop func()) {
	s.note.Store(&note)
	return func() { s.note.Store(nil) }
}

// environment tells a program where the sink is, in the function's own words.
func (s *sink) environment() []string {
	return []string{"PUSHER_HOST=" + s.addr, "PUSHER_TLS=false", "PUSHER_APP_ID=" + appID, "PUSHER_KEY=" + appKey, "PUSHER_SECRET=" + appSecret}
}

// ServeHTTP accepts every event of a call.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(body)
	body.Reset()
	if _, err := io.Copy(body, r.Body); err != nil {
		return // the caller hung up
	}
	if d := time.Duration(s.delay.Load()); d > 0 {
		time.Sleep(d)
	}
	if n := eventsIn(body.Bytes()); n > 0 {
		s.accept(n, body.Bytes())
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// PublishBatch accepts events of a relay in this process.
func (s *sink) PublishBatch(_ context.Context, events []pusher.Event) error {
	s.accept(int64(len(events)), nil)
	return nil
}

func (s *sink) accept(n int64, body []byte) {
	now := time.Now()
	if note := s.note.Load(); note != nil {
		(*note)(body, now)
	}
	total := s.events.Add(n)
	if g := s.goal.Load(); g != nil && total >= g.at && total-n < g.at {
		g.reached <- now
	}
}

// eventsIn counts the events of a request without decoding it. Inside an event's
// data, which is a string, quotes are escaped: the pattern is found only outside.
func eventsIn(body []byte) int64 {
	if n := bytes.Count(body, []byte(`"channel":"`)); n > 0 {
		return int64(n)
	}
	return int64(bytes.Count(body, []byte(`"channels":[`))) // POST /events, as the libraries write it
}

// errShort says that events stayed out.
var errShort = errors.New("not all events came")

// expect returns a function that waits for n more events and says when the last of
// them came. Only one can wait at a time.
func (s *sink) expect(n int) func(context.Context) (time.Time, error) {
	from := s.events.Load()
	g := &goal{at: from + int64(n), reached: make(chan time.Time, 1)}
	s.goal.Store(g)
	return func(ctx context.Context) (time.Time, error) {
		select {
		case at := <-g.reached:
			return at, nil
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("%w: %d of %d", errShort, s.events.Load()-from, n)
		}
	}
}
