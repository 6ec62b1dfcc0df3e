// Package listen hears one channel of Pusher over a WebSocket, as pusher-js does for
// browsers: protocol version 7 (pusher.com/docs/channels/library_auth_reference/pusher-websockets-protocol).
//
// It keeps a connection: one that is lost, silent or refused is dialled again, later and
// later. What is published meanwhile is not heard; Subscribed says when hearing begins
// again. Everything is bounded: dialling, a frame, a silence.
package listen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// Config says what to hear.
type Config struct {
	URL     string // see [Address]
	Channel string
	// Authorize returns the JSON that lets a connection in; nil for a public channel.
	Authorize func(ctx context.Context, socketID string) ([]byte, error)

	// These are called by the goroutine of Run, and hold up what follows them.
	Subscribed func()
	Event      func(name string, data json.RawMessage)
	Lost       func(error) // a connection ended, or none came
}

const (
	dialTime  = 10 * time.Second
	writeTime = 5 * time.Second
	// silence is how long a connection may bring nothing before it is asked whether it
	// lives; pongWait how long it may take to answer.
	silence  = 30 * time.Second
	pongWait = 10 * time.Second

	maxFrame = 1 << 20 // bytes
	firstTry = time.Second
	lastTry  = time.Minute
)

// Address is where an app's WebSockets are: in its cluster, or at a compatible server.
// client tells Pusher who asks.
func Address(key, cluster, host string, tls bool, client string) string {
	scheme := "wss"
	if !tls {
		scheme = "ws"
	}
	if host == "" {
		host = "ws-" + cluster + ".pusher.com"
	}
	return scheme + "://" + host + "/app/" + url.PathEscape(key) + "?protocol=7&client=" + url.QueryEscape(client) + "&version=1"
}

// Run hears the channel until ctx ends.
func (c Config) Run(ctx context.Context) {
	for wait := firstTry; ctx.Err() == nil; wait = min(2*wait, lastTry) {
		start := time.Now()
		err := c.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		c.Lost(err)
		if time.Since(start) > time.Minute {
			wait = firstTry
		}
		if refusal := (*Refusal)(nil); errors.As(err, &refusal) && refusal.isFinal() {
			wait = lastTry
		}
		timer := time.NewTimer(wait*3/4 + rand.N(wait/2))
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// Refusal is what Pusher said as it refused the connection or the channel.
type Refusal struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("refused by Pusher: %d %.200s", r.Code, r.Message)
}

// isFinal: codes from 4000 to 4099 ask not to connect again as it is.
func (r *Refusal) isFinal() bool { return r.Code >= 4000 && r.Code < 4100 }

var errSilent = errors.New("the connection is silent")

// frame is a message of Pusher's. Data is JSON in a string, or JSON.
type frame struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// inner is the data without the string around it.
func (f frame) inner() json.RawMessage {
	var text string
	if json.Unmarshal(f.Data, &text) == nil {
		return json.RawMessage(text)
	}
	return f.Data
}

func (c Config) connect(ctx context.Context) error {
	dialling, cancel := context.WithTimeout(ctx, dialTime)
	conn, _, err := websocket.Dial(dialling, c.URL, nil)
	cancel()
	if err != nil {
		return errors.New("no connection to Pusher") // err names the address, and so the key
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxFrame)
	for {
		f, err := read(ctx, conn)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return errSilent
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if err := c.handle(ctx, conn, f); err != nil {
			return err
		}
	}
}

// read waits for a frame. A connection that brings nothing for a while is asked by a ping
// before it is given up: the answer is a frame as any other.
func read(ctx context.Context, conn *websocket.Conn) (f frame, err error) {
	pinger := time.AfterFunc(silence, func() { _ = write(ctx, conn, frame{Event: "pusher:ping", Data: json.RawMessage("{}")}) })
	defer pinger.Stop()
	limited, cancel := context.WithTimeout(ctx, silence+pongWait)
	defer cancel()
	_, text, err := conn.Read(limited)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(text, &f)
}

func write(ctx context.Context, conn *websocket.Conn, f frame) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

func (c Config) handle(ctx context.Context, conn *websocket.Conn, f frame) error {
	switch {
	case f.Event == "pusher:connection_established":
		var hello struct {
			SocketID string `json:"socket_id"`
		}
		if err := json.Unmarshal(f.inner(), &hello); err != nil {
			return fmt.Errorf("greeting: %w", err)
		}
		return c.subscribe(ctx, conn, hello.SocketID)
	case f.Event == "pusher:ping":
		return write(ctx, conn, frame{Event: "pusher:pong", Data: json.RawMessage("{}")})
	case f.Event == "pusher:error", f.Event == "pusher:subscription_error":
		refusal := &Refusal{}
		if json.Unmarshal(f.inner(), refusal) != nil || refusal.Message == "" {
			refusal.Message = string(f.inner())
		}
		return refusal
	case f.Channel != c.Channel:
	case f.Event == "pusher_internal:subscription_succeeded":
		c.Subscribed()
	default:
		c.Event(f.Event, f.inner())
	}
	return nil
}

func (c Config) subscribe(ctx context.Context, conn *websocket.Conn, socketID string) error {
	data := map[string]json.RawMessage{}
	if c.Authorize != nil {
		auth, err := c.Authorize(ctx, socketID)
		if err != nil {
			return fmt.Errorf("authorize: %w", err)
		}
		if err := json.Unmarshal(auth, &data); err != nil {
			return fmt.Errorf("authorize: %w", err)
		}
	}
	var err error
	if data["channel"], err = json.Marshal(c.Channel); err != nil {
		return err
	}
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return write(ctx, conn, frame{Event: "pusher:subscribe", Data: body})
}
