// Package realtimetest stands in for Supabase Realtime, in tests and in the local
// stack: enough of it for the real supabase-js to listen to postgres_changes.
//
// It is as unreliable as the real one, in the same way. A subscription is live only
// some time after the join was answered (SUBSCRIBED comes too early; the "system"
// message tells). A connection that is cut loses what happens until its channels
// are live again. An expired token closes the channel, and nobody reopens it.
//
// The protocol is Phoenix' (READ in @supabase/realtime-js 2.119.1 and supabase/realtime,
// realtime_channel.ex). Not there: broadcast, presence, private channels.
package realtimetest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Path is where supabase-js connects to, below SUPABASE_URL.
const Path = "/realtime/v1/websocket"

// Options say what the server is. The zero value believes every token and shows
// everybody everything.
type Options struct {
	// Verify checks an access token, which may also be the project's publishable key.
	// It returns the claims as JSON, and when they expire (zero: never).
	Verify func(ctx context.Context, token string) (claims json.RawMessage, expires time.Time, err error)
	// Visible is row level security: may the bearer of the claims see the row of an
	// INSERT or UPDATE? Nobody is asked about a DELETE; there, as in the real one, the
	// old record is cut down to its keys instead. Nil: no row level security.
	Visible func(ctx context.Context, claims json.RawMessage, c Change) bool
	// LiveAfter lies between the join's reply and the moment changes flow; default 100 ms.
	LiveAfter time.Duration
	// Poll is how long a change may wait for the next look at the WAL; default 100 ms.
	Poll time.Duration
	Log  *slog.Logger
}

// Change is one committed change of a row.
type Change struct {
	Schema, Table string
	Type          string          // INSERT, UPDATE or DELETE
	Record        json.RawMessage // the new row; nil for a DELETE
	OldRecord     json.RawMessage // what the replica identity has of the old one; nil for an INSERT
	Keys          []string        // the primary key's columns
	Columns       []Column
	Committed     time.Time
}

// Column is a column as Realtime describes it; supabase-js converts values by it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Server is a handler for Path. All its methods may be called at any time.
type Server struct {
	opts Options
	turn sync.Mutex // of a poll: one after the other, as there is one slot

	mu      sync.Mutex
	sockets map[*socket]bool
	ids     int // of subscriptions, so far
	waiting []Change
	refuse  bool
	lose    int
	stats   Stats
}

// Stats counts since New.
type Stats struct {
	Sockets   int // connected now
	Live      int // channels to which changes flow now
	Delivered int // changes, counted once for each channel
}

// New returns a server without connections.
func New(opts Options) *Server {
	if opts.Verify == nil {
		opts.Verify = func(context.Context, string) (json.RawMessage, time.Time, error) { return nil, time.Time{}, nil }
	}
	if opts.LiveAfter == 0 {
		opts.LiveAfter = 100 * time.Millisecond
	}
	if opts.Poll == 0 {
		opts.Poll = 100 * time.Millisecond
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{opts: opts, sockets: make(map[*socket]bool)}
}

// ServeHTTP opens a WebSocket and serves it to its end.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	// Supabase takes browsers of any origin: what is secret is in the token.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	sock := newSocket(s, conn, r)
	s.mu.Lock()
	s.sockets[sock] = true
	s.mu.Unlock()
	sock.serve()
	s.mu.Lock()
	delete(s.sockets, sock)
	s.mu.Unlock()
}

// Commit tells the server of a change. It reaches, at the next poll, the channels
// that are live by then.
func (s *Server) Commit(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lose > 0 {
		s.lose--
		return
	}
	s.waiting = append(s.waiting, c)
	if len(s.waiting) == 1 {
		time.AfterFunc(s.opts.Poll, s.poll)
	}
}

func (s *Server) poll() {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	changes := s.waiting
	s.waiting = nil
	sockets := make([]*socket, 0, len(s.sockets))
	for sock := range s.sockets {
		sockets = append(sockets, sock)
	}
	s.mu.Unlock()
	delivered := 0
	for _, sock := range sockets {
		delivered += sock.deliver(changes)
	}
	s.mu.Lock()
	s.stats.Delivered += delivered
	s.mu.Unlock()
}

// Cut ends every connection without a goodbye, as a lost network does.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sock := range s.sockets {
		sock.end()
	}
}

// Expire closes every channel as when its token expires. supabase-js does not join
// them again.
func (s *Server) Expire() {
	s.mu.Lock()
	var channels []*channel
	for sock := range s.sockets {
		channels = append(channels, sock.all()...)
	}
	s.mu.Unlock()
	for _, ch := range channels {
		ch.close("Token has expired")
	}
}

// Refuse answers new connections with 503, until it is called with false.
func (s *Server) Refuse(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = on
}

// Lose drops the next n changes, as a new replication slot does.
func (s *Server) Lose(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose += n
}

// Stats returns the present counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Sockets = len(s.sockets)
	for sock := range s.sockets {
		out.Live += sock.live()
	}
	return out
}

func (s *Server) nextID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids++
	return s.ids
}
