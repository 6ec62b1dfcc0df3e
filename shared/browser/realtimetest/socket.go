package realtimetest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	writeTimeout = 5 * time.Second
	maxQueued    = 10_000 // messages; a reader this far behind is disconnected
	maxMessage   = 1 << 20
)

// The events of Phoenix' protocol.
const (
	evJoin      = "phx_join"
	evLeave     = "phx_leave"
	evReply     = "phx_reply"
	evClose     = "phx_close"
	evHeartbeat = "heartbeat"
	evToken     = "access_token"
	evSystem    = "system"
	evChanges   = "postgres_changes"
)

// message is one frame in either direction. Version 2.0.0 of the protocol, which
// supabase-js speaks by default, writes it as an array, 1.0.0 as an object.
type message struct {
	JoinRef *string `json:"join_ref"`
	Ref     *string `json:"ref"`
	Topic   string  `json:"topic"`
	Event   string  `json:"event"`
	Payload any     `json:"payload"`
}

// command is a message that was received.
type command struct {
	message
	Payload json.RawMessage `json:"payload"`
}

var errFrame = errors.New("not a message of Phoenix' protocol")

func decode(frame []byte, arrays bool) (c command, err error) {
	if !arrays {
		err = json.Unmarshal(frame, &c)
		return c, err
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(frame, &parts); err != nil || len(parts) != 5 {
		return c, errFrame
	}
	for i, to := range []any{&c.JoinRef, &c.Ref, &c.Topic, &c.Event, &c.Payload} {
		if err := json.Unmarshal(parts[i], to); err != nil {
			return c, errFrame
		}
	}
	return c, nil
}

func (m message) encode(arrays bool) ([]byte, error) {
	if !arrays {
		return json.Marshal(m)
	}
	return json.Marshal([]any{m.JoinRef, m.Ref, m.Topic, m.Event, m.Payload})
}

// socket is one connection with its channels.
type socket struct {
	server *Server
	conn   *websocket.Conn
	arrays bool
	key    string // of the project: the token of who has no session
	out    chan message
	ctx    context.Context
	end    context.CancelFunc

	mu       sync.Mutex
	channels map[string]*channel // by topic
}

func newSocket(s *Server, conn *websocket.Conn, r *http.Request) *socket {
	conn.SetReadLimit(maxMessage)
	sock := &socket{
		server: s, conn: conn, key: r.URL.Query().Get("apikey"),
		arrays:   r.URL.Query().Get("vsn") == "2.0.0",
		out:      make(chan message, maxQueued),
		channels: make(map[string]*channel),
	}
	// Not the request's context: it means nothing after the connection was hijacked.
	sock.ctx, sock.end = context.WithCancel(context.Background())
	return sock
}

// serve reads commands until the connection ends.
func (sock *socket) serve() {
	defer sock.conn.CloseNow()
	var writer sync.WaitGroup
	writer.Go(sock.write)
	defer writer.Wait()
	defer sock.end()
	for {
		_, frame, err := sock.conn.Read(sock.ctx)
		if err != nil {
			break
		}
		c, err := decode(frame, sock.arrays)
		if err != nil {
			sock.server.opts.Log.Warn("realtimetest: bad frame", "err", err)
			break
		}
		sock.handle(c)
	}
	for _, ch := range sock.all() {
		ch.stop()
	}
}

func (sock *socket) write() {
	defer sock.end()
	for {
		select {
		case <-sock.ctx.Done():
			return
		case m := <-sock.out:
			frame, err := m.encode(sock.arrays)
			if err != nil {
				sock.server.opts.Log.Error("realtimetest: encode", "err", err)
				return
			}
			ctx, cancel := context.WithTimeout(sock.ctx, writeTimeout)
			err = sock.conn.Write(ctx, websocket.MessageText, frame)
			cancel()
			if err != nil {
				return
			}
		}
	}
}

// send never waits: a reader too far behind loses its connection.
func (sock *socket) send(m message) {
	select {
	case sock.out <- m:
	default:
		sock.end()
	}
}

func (sock *socket) handle(c command) {
	switch c.Event {
	case evHeartbeat: // on the topic "phoenix"; without it supabase-js reconnects
		sock.reply(c, "ok", struct{}{})
	case evJoin:
		sock.join(c)
	case evToken:
		if ch := sock.channel(c.Topic); ch != nil {
			ch.renew(c)
		}
	case evLeave:
		sock.leave(c)
	default: // broadcast and presence: taken, and carried to nobody
		sock.reply(c, "ok", struct{}{})
	}
}

func (sock *socket) reply(c command, status string, response any) {
	sock.send(message{JoinRef: c.JoinRef, Ref: c.Ref, Topic: c.Topic, Event: evReply,
		Payload: map[string]any{"status": status, "response": response}})
}

func (sock *socket) channel(topic string) *channel {
	sock.mu.Lock()
	defer sock.mu.Unlock()
	return sock.channels[topic]
}

func (sock *socket) leave(c command) {
	sock.remove(c.Topic)
	sock.reply(c, "ok", struct{}{})
	sock.send(message{JoinRef: c.JoinRef, Topic: c.Topic, Event: evClose, Payload: struct{}{}})
}

func (sock *socket) remove(topic string) {
	sock.mu.Lock()
	defer sock.mu.Unlock()
	if ch := sock.channels[topic]; ch != nil {
		ch.stop()
		delete(sock.channels, topic)
	}
}

func (sock *socket) all() []*channel {
	sock.mu.Lock()
	defer sock.mu.Unlock()
	return slices.Collect(maps.Values(sock.channels))
}

func (sock *socket) deliver(changes []Change) (n int) {
	for _, ch := range sock.all() {
		for _, c := range changes {
			if ch.deliver(c) {
				n++
			}
		}
	}
	return n
}

func (sock *socket) live() (n int) {
	for _, ch := range sock.all() {
		if ch.isLive() {
			n++
		}
	}
	return n
}
