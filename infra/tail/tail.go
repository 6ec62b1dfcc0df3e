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

	"roomcast/shared/event"
	"roomcast/shared/listen"
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

// errDenied: the user may not read the room, or no longer.
var errDenied = errors.New("the room is denied to this user")

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
		return errDenied
	}
	return nil
}

// listen keeps a connection to Pusher: what was missed is fetched when the subscription
// succeeds.
func (c Config) listen(ctx context.Context, channel string, pushed chan<- Event) {
	send := func(e Event) {
		select {
		case pushed <- e:
		case <-ctx.Done():
		}
	}
	on := listen.Config{
		URL:     listen.Address(c.PusherKey, c.PusherCluster, c.PusherHost, c.PusherTLS, "roomcast-tail"),
		Channel: channel,
		Subscribed: func() {
			c.Note("listening to %s", channel)
			send(Event{Name: "subscribed"})
		},
		Event: func(name string, data json.RawMessage) {
			if name != "packed" {
				send(Event{Name: name, Data: data})
				return
			}
			for _, e := range unpack(data) {
				send(e)
			}
		},
		Lost: func(err error) { c.Note("disconnected: %v", err) },
	}
	if c.Channel != event.Public {
		on.Authorize = func(ctx context.Context, socketID string) ([]byte, error) { return c.authorize(ctx, socketID, channel) }
	}
	on.Run(ctx)
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

// authorize has the function let a connection into the channel.
func (c Config) authorize(ctx context.Context, socketID, channel string) (auth json.RawMessage, err error) {
	form := url.Values{"socket_id": {socketID}, "channel_name": {channel}}
	status, err := c.call(ctx, http.MethodPost, "/pusher/auth", strings.NewReader(form.Encode()), &auth)
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("the function does not let us into %s (%d)", channel, status)
	}
	return auth, nil
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
