// Package pushertest is a Pusher-compatible server for tests and for the local stack: a real
// HTTP server on 127.0.0.1 with Pusher's HTTP API (signatures, timestamp window, limits), its
// WebSocket protocol 7 (public, private, presence and encrypted channels, client events,
// sign-in) and its webhooks. It remembers what it accepted and fails when told to.
//
// The real pusher-js and the npm package pusher run against it in this package's tests.
//
// Not served: the HTTP fallbacks of pusher-js (sockjs, xhr), cache channels, watchlists,
// subscription-count events, client-event webhooks, TLS.
package pushertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roomcast/shared/pusher"
)

// Options say what the server is. The zero value is a working app on a free port.
type Options struct {
	AppID, Key, Secret string // default "1001", "local-key", "local-secret"
	EncryptionKey      string // base64 of 32 bytes; the server needs it only to pass it on in Config
	Addr               string // default "127.0.0.1:0"

	// WebhookURL, if set, gets channel_occupied, channel_vacated, member_added and
	// member_removed, signed, in order. Anything but 2xx is repeated for up to five minutes,
	// first after WebhookRetry (default 1 s), then ever more slowly.
	WebhookURL   string
	WebhookRetry time.Duration

	// Record bounds how many accepted events are remembered: 0 means 100,000, beyond which
	// the older half is forgotten; negative means none. OnEvent hears all in any case.
	Record int

	MaxData         int           // bytes of an event's data; default 10,240
	ActivityTimeout time.Duration // silence after which a connection is pinged; default 120 s
	Admin           bool          // serve /admin/, see admin.go; for the local stack
	Clock           func() time.Time
	Log             *slog.Logger
}

func (o *Options) setDefaults() {
	setDefault(&o.AppID, "1001")
	setDefault(&o.Key, "local-key")
	setDefault(&o.Secret, "local-secret")
	setDefault(&o.Addr, "127.0.0.1:0")
	setDefault(&o.WebhookRetry, time.Second)
	setDefault(&o.Record, 100_000)
	setDefault(&o.MaxData, maxData)
	setDefault(&o.ActivityTimeout, 120*time.Second)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server is a running emulator. All its methods may be called at any time, from anywhere.
type Server struct {
	opts    Options
	handler http.Handler
	faults  faults
	record  recorder
	hub     *hub
	hooks   *webhooks

	// accepting is held while the events of one request are recorded and handed to the
	// subscribers, so that both see them in one order.
	accepting sync.Mutex
	requests  int // with accepted events; under accepting

	mu      sync.Mutex   // guards what follows
	addr    string       // fixed at the first start
	http    *http.Server // nil while stopped
	life    context.Context
	end     context.CancelFunc // of life: ends the sockets
	running sync.WaitGroup     // the accept loop and the sockets
}

// New starts a server. Close it.
func New(opts Options) (*Server, error) {
	opts.setDefaults()
	s := &Server{opts: opts, addr: opts.Addr}
	s.record.limit = opts.Record
	s.hooks = newWebhooks(s)
	s.hub = newHub(s.hooks.add)
	s.handler = s.routes()
	if err := s.Start(); err != nil {
		s.hooks.close()
		return nil, err
	}
	return s, nil
}

// Start listens again, on the same port, after Stop. It does nothing on a running server.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("pushertest: %w", err)
	}
	s.addr = ln.Addr().String()
	srv := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug)}
	s.http = srv
	s.life, s.end = context.WithCancel(context.Background())
	s.running.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.opts.Log.Error("pushertest stopped", "error", err)
		}
	})
	return nil
}

// Stop closes the port and every connection at once, as a crash does. What was recorded and
// injected stays, for Start.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return
	}
	_ = s.http.Close()
	s.http = nil
	s.end()
	s.running.Wait()
}

// Close stops the server for good; webhooks not yet delivered are dropped.
func (s *Server) Close() {
	s.Stop()
	s.hooks.close()
}

// Addr is the host:port the server listens on, the same before and after a restart.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Host is Addr, under the name a pusher.Config gives it.
func (s *Server) Host() string { return s.Addr() }

// Config is how package pusher reaches this server.
func (s *Server) Config() pusher.Config {
	return pusher.Config{
		AppID: s.opts.AppID, Key: s.opts.Key, Secret: s.opts.Secret,
		Host: s.Addr(), EncryptionKey: s.opts.EncryptionKey,
	}
}

// Cut ends every WebSocket without a goodbye, as a lost network does. The server goes on:
// clients may come back at once. pusher-js does so after a second, but takes a second such cut
// of a young connection as a sign that WebSockets do not work here, and gives them up.
func (s *Server) Cut() { s.hub.each(func(sock *socket) { sock.queue.cut() }) }

// CloseSockets closes every WebSocket in an orderly way, with a code that tells clients what
// to do; pusher-js comes back at once after 4200 and stays away after 4009.
func (s *Server) CloseSockets(code int, reason string) {
	s.hub.each(func(sock *socket) { sock.queue.close(websocket.StatusCode(code), reason) })
}

// WaitSubscribers returns when at least n connections are subscribed to the channel, or with
// the context's error.
func (s *Server) WaitSubscribers(ctx context.Context, channel string, n int) error {
	return s.hub.changed.until(ctx, func() bool { return s.hub.subscribers(channel) >= n })
}

// Stats counts since New.
type Stats struct {
	Requests int `json:"requests"` // whose events were accepted
	Events   int `json:"events"`   // accepted
	Sockets  int `json:"sockets"`  // connected now
}

// Stats returns the present counts.
func (s *Server) Stats() Stats {
	s.accepting.Lock()
	requests := s.requests
	s.accepting.Unlock()
	return Stats{Requests: requests, Events: s.record.count(), Sockets: s.hub.connected()}
}
