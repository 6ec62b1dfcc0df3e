package pushertest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// pongTimeout is how long a pinged connection may stay silent; pusher-js allows us as much.
const pongTimeout = 30 * time.Second

// socket is one browser's connection.
type socket struct {
	id       string // digits.digits
	server   *Server
	queue    *queue
	channels map[string]bool // under hub.mu
	userID   string          // signed in as; written under hub.mu by the reading goroutine

	clientEvents rate // used by the reading goroutine only
}

// serveSocket opens a WebSocket, greets, and reads commands until it ends.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	fault := s.faults.take(r, nil)
	if fault.before(w, r) {
		return
	}
	// Pusher takes browsers of any origin: the app key is public, what is secret is signed.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	switch {
	case r.PathValue("key") != s.opts.Key:
		_ = conn.Close(codeNoApp, "Application does not exist")
		return
	case r.URL.Query().Get("protocol") != protocolVersion:
		_ = conn.Close(codeBadProtocol, "Unsupported protocol version")
		return
	}
	s.attend(conn)
}

// attend runs an accepted connection to its end.
func (s *Server) attend(conn *websocket.Conn) {
	life, ok := s.enter()
	if !ok {
		return
	}
	defer s.running.Done()
	// Not the request's context: it means nothing after the connection was hijacked.
	ctx, cancel := context.WithCancel(life)
	sock := &socket{
		id:       fmt.Sprintf("%d.%d", rand.IntN(1_000_000), rand.IntN(1_000_000_000)),
		server:   s,
		queue:    newQueue(conn, cancel),
		channels: make(map[string]bool),
	}
	s.hub.add(sock)
	sock.send(frame{Event: evEstablished, Data: nested(map[string]any{
		"socket_id": sock.id, "activity_timeout": int(s.opts.ActivityTimeout / time.Second),
	})})
	written := make(chan struct{})
	go func() {
		defer close(written)
		sock.queue.run(ctx)
		// A reader blocked on a dead connection ends with the writer, unless a closing
		// handshake is under way: then it has ended already.
		cancel()
	}()
	sock.read(ctx, conn)
	s.hub.remove(sock)
	cancel()
	<-written
}

// enter counts a socket among what Stop ends and waits for; false when the server is stopped.
func (s *Server) enter() (life context.Context, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil, false
	}
	s.running.Add(1)
	return s.life, true
}

func (sock *socket) send(f frame) { sock.queue.add(f.encode()) }

// read handles what the client says until the connection ends.
func (sock *socket) read(ctx context.Context, conn *websocket.Conn) {
	watch := sock.watchSilence()
	defer watch.stop()
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return
		}
		watch.heard()
		var cmd command
		if err := json.Unmarshal(message, &cmd); err != nil {
			sock.send(errorFrame(nil, "Message is not JSON"))
			continue
		}
		sock.handle(cmd)
	}
}

// silence pings a connection that says nothing, and closes it when it does not answer.
type silence struct {
	limit time.Duration

	mu     sync.Mutex
	timer  *time.Timer
	pinged bool
}

func (sock *socket) watchSilence() *silence {
	w := &silence{limit: sock.server.opts.ActivityTimeout}
	w.mu.Lock() // the timer may fire before it is assigned
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.limit, func() { w.expired(sock) })
	return w
}

func (w *silence) expired(sock *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pinged {
		sock.queue.close(codeNoPong, "Pong reply not received")
		return
	}
	w.pinged = true
	sock.send(frame{Event: evPing, Data: "{}"})
	w.timer.Reset(min(pongTimeout, w.limit))
}

func (w *silence) heard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pinged = false
	w.timer.Reset(w.limit)
}

func (w *silence) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	w.pinged = true // a timer that fires just now shall not start it again
}
