package tail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"roomcast/shared/event"
)

// Config says where to listen, and as who.
type Config struct {
	Function string // its address
	Token    string // a Supabase access token of a user who may read the room
	Room     string // id of a chat room
	Channel  event.ChannelKind
	User     string // the token's own, to notice that it left; may be empty

	PusherKey, PusherCluster, PusherHost string
	PusherTLS                            bool

	Show func(Event)
	Note func(format string, args ...any) // told of the connection
}

// ErrDenied: the user may not read the room, or no longer.
var ErrDenied = errors.New("the room is denied to this user")

// Run shows the room's events from now on, until ctx ends or the room is denied.
func (c Config) Run(ctx context.Context) error {
	channel, err := event.ChannelName(c.Channel, event.RoomKey(c.Room))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pushed := make(chan Event, 1000)
	go c.listen(ctx, channel, pushed)
	room := Room{ID: c.Room, User: c.User, Ask: c.ask, Show: c.Show, Pushed: pushed}
	room.Run(ctx)
	if room.denied {
		return ErrDenied
	}
	return nil
}

// listen keeps a connection to Pusher. It is dialled again after a second, then less
// often: what was missed is fetched when the subscription succeeds.
func (c Config) listen(ctx context.Context, channel string, pushed chan<- Event) {
	for wait := time.Second; ctx.Err() == nil; wait = min(2*wait, time.Minute) {
		start := time.Now()
		err := c.connect(ctx, channel, pushed)
		if ctx.Err() != nil {
			return
		}
		c.Note("disconnected: %v", err)
		if time.Since(start) > time.Minute {
			wait = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// frame is a message of Pusher's protocol, version 7. Data is JSON in a string, or JSON.
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

// silence is how long a connection may bring nothing before it is asked whether it lives;
// pongWait how long it may take to answer.
const (
	silence  = 30 * time.Second
	pongWait = 10 * time.Second
)

func (c Config) connect(ctx context.Context, channel string, pushed chan<- Event) error {
	dialling, cancel := context.WithTimeout(ctx, 10*time.Second)
	conn, _, err := websocket.Dial(dialling, c.socketURL(), nil)
	cancel()
	if err != nil {
		return errors.New("no connection to Pusher")
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(1 << 20)
	for {
		f, err := read(ctx, conn)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return errors.New("the connection is silent")
		}
		if err != nil {
			return err
		}
		if err := c.handle(ctx, conn, f, channel, pushed); err != nil {
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
	return conn.Write(ctx, websocket.MessageText, text)
}

func (c Config) handle(ctx context.Context, conn *websocket.Conn, f frame, channel string, pushed chan<- Event) error {
	send := func(e Event) {
		select {
		case pushed <- e:
		case <-ctx.Done():
		}
	}
	switch {
	case f.Event == "pusher:connection_established":
		var hello struct {
			SocketID string `json:"socket_id"`
		}
		if err := json.Unmarshal(f.inner(), &hello); err != nil {
			return err
		}
		return c.subscribe(ctx, conn, hello.SocketID, channel)
	case f.Event == "pusher_internal:subscription_succeeded":
		c.Note("listening to %s", channel)
		send(Event{Name: "subscribed"})
	case f.Event == "pusher:ping":
		return write(ctx, conn, frame{Event: "pusher:pong", Data: json.RawMessage("{}")})
	case f.Event == "pusher:error", f.Event == "pusher:subscription_error":
		return fmt.Errorf("told by Pusher: %s", f.inner())
	case f.Channel != channel:
	case f.Event == "packed":
		for _, e := range unpack(f.inner()) {
			send(e)
		}
	default:
		send(Event{Name: f.Event, Data: f.inner()})
	}
	return nil
}

// unpack takes the events out of a pack: a list of [name, data].
func unpack(data json.RawMessage) (events []Event) {
	var list [][2]json.RawMessage
	if json.Unmarshal(data, &list) != nil {
		return nil
	}
	for _, pair := range list {
		var e Event
		if json.Unmarshal(pair[0], &e.Name) == nil {
			e.Data = pair[1]
			events = append(events, e)
		}
	}
	return events
}

// subscribe has the function authorize the channel, unless it is public.
func (c Config) subscribe(ctx context.Context, conn *websocket.Conn, socketID, channel string) error {
	data := map[string]json.RawMessage{}
	if c.Channel != event.Public {
		form := url.Values{"socket_id": {socketID}, "channel_name": {channel}}
		status, err := c.call(ctx, http.MethodPost, "/pusher/auth", strings.NewReader(form.Encode()), &data)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("the function does not authorize %s (%d)", channel, status)
		}
	}
	data["channel"], _ = json.Marshal(channel)
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return write(ctx, conn, frame{Event: "pusher:subscribe", Data: body})
}

// ask fetches a page of the history.
func (c Config) ask(ctx context.Context, q Query) (page Page, status int, err error) {
	query := url.Values{"after": {strconv.FormatInt(q.After, 10)}, "epoch": {q.Epoch}, "limit": {strconv.Itoa(pageSize)}}
	if q.Where {
		query = url.Values{"limit": {"0"}}
	}
	status, err = c.call(ctx, http.MethodGet, "/rooms/"+url.PathEscape(c.Room)+"/events?"+query.Encode(), nil, &page)
	return page, status, err
}

func (c Config) call(ctx context.Context, method, path string, body io.Reader, into any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Function, "/")+path, body)
	if err != nil {
		return 0, errors.New("the function's address cannot be read")
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.NewDecoder(io.LimitReader(resp.Body, 8<<20)).Decode(into)
}

func (c Config) socketURL() string {
	scheme, host := "wss", c.PusherHost
	if !c.PusherTLS {
		scheme = "ws"
	}
	if host == "" {
		host = "ws-" + c.PusherCluster + ".pusher.com"
	}
	return scheme + "://" + host + "/app/" + url.PathEscape(c.PusherKey) + "?protocol=7&client=roomcast-tail&version=1"
}
