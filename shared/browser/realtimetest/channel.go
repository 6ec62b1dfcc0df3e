package realtimetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"roomcast/shared/event"
)

// channel is a joined topic with its subscriptions.
type channel struct {
	sock    *socket
	joinRef *string
	topic   string
	subs    []subscription

	mu     sync.Mutex
	claims json.RawMessage
	live   bool
	begin  *time.Timer // makes it live
	expiry *time.Timer // ends it with its token
}

// subscription is one entry of the join's config.postgres_changes.
type subscription struct {
	ID     int    `json:"id"`
	Event  string `json:"event"`
	Schema string `json:"schema"`
	Table  string `json:"table,omitempty"`
	Filter string `json:"filter,omitempty"`

	column, op, value string // of the filter
}

// join is the payload of phx_join.
type join struct {
	Config struct {
		Changes []subscription `json:"postgres_changes"`
	} `json:"config"`
	Token string `json:"access_token"`
}

// join answers at once with the ids of the subscriptions. Only later they are live,
// and a system message says so.
func (sock *socket) join(c command) {
	var in join
	if err := json.Unmarshal(c.Payload, &in); err != nil {
		sock.reply(c, "error", map[string]string{"reason": "InvalidJoinPayload"})
		return
	}
	ch := &channel{sock: sock, joinRef: c.JoinRef, topic: c.Topic, subs: in.Config.Changes}
	if in.Token == "" {
		in.Token = sock.key
	}
	err := ch.authorize(in.Token)
	for i := range ch.subs {
		ch.subs[i].ID = sock.server.nextID()
		if err == nil {
			err = ch.subs[i].parse()
		}
	}
	if err != nil {
		ch.stop()
		sock.reply(c, "error", map[string]string{"reason": err.Error()})
		return
	}
	sock.remove(c.Topic) // a second join of a topic replaces the first, as in Phoenix
	sock.mu.Lock()
	sock.channels[c.Topic] = ch
	sock.mu.Unlock()
	sock.reply(c, "ok", map[string]any{"postgres_changes": ch.subs})
	if len(ch.subs) > 0 {
		ch.mu.Lock()
		ch.begin = time.AfterFunc(sock.server.opts.LiveAfter, ch.goLive)
		ch.mu.Unlock()
	}
}

// authorize takes the claims of a token, and arranges for the channel's end with it.
func (ch *channel) authorize(token string) error {
	claims, expires, err := ch.sock.server.opts.Verify(ch.sock.ctx, token)
	if err != nil {
		return fmt.Errorf("InvalidJWTToken: %w", err)
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.claims = claims
	if ch.expiry != nil {
		ch.expiry.Stop()
	}
	if !expires.IsZero() {
		ch.expiry = time.AfterFunc(time.Until(expires), func() { ch.close("Token has expired") })
	}
	return nil
}

func (ch *channel) renew(c command) {
	var in join
	err := json.Unmarshal(c.Payload, &in)
	if err == nil && in.Token != "" { // supabase-js sends null for a user who signed out
		err = ch.authorize(in.Token)
	}
	if err != nil {
		ch.close(err.Error())
	}
}

func (ch *channel) goLive() {
	ch.mu.Lock()
	ch.live = true
	ch.mu.Unlock()
	ch.system(evChanges, "ok", "Subscribed to PostgreSQL")
}

// close ends the channel from the server's side.
func (ch *channel) close(reason string) {
	ch.sock.remove(ch.topic)
	ch.system(evSystem, "error", reason)
	ch.push(evClose, struct{}{})
}

func (ch *channel) stop() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.live = false
	for _, timer := range []*time.Timer{ch.begin, ch.expiry} {
		if timer != nil {
			timer.Stop()
		}
	}
}

func (ch *channel) isLive() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.live
}

func (ch *channel) system(extension, status, text string) {
	ch.push(evSystem, map[string]string{
		"channel": strings.TrimPrefix(ch.topic, "realtime:"), "extension": extension, "status": status, "message": text,
	})
}

func (ch *channel) push(event string, payload any) {
	ch.sock.send(message{JoinRef: ch.joinRef, Topic: ch.topic, Event: event, Payload: payload})
}

// deliver sends a change to those subscriptions of the channel that match.
func (ch *channel) deliver(c Change) bool {
	ch.mu.Lock()
	live, claims := ch.live, ch.claims
	ch.mu.Unlock()
	if !live {
		return false
	}
	var ids []int
	for _, sub := range ch.subs {
		if sub.matches(c) {
			ids = append(ids, sub.ID)
		}
	}
	visible := ch.sock.server.opts.Visible
	if len(ids) == 0 || visible != nil && c.Type != "DELETE" && !visible(ch.sock.ctx, claims, c) {
		return false
	}
	if visible != nil && c.OldRecord != nil {
		// With row level security only the keys of the old row are told.
		c.OldRecord, _ = event.Pick(c.OldRecord, c.Keys)
	}
	ch.push(evChanges, map[string]any{"ids": ids, "data": c.payload()})
	return true
}

func (c Change) payload() map[string]any {
	columns := c.Columns
	if columns == nil {
		columns = []Column{}
	}
	data := map[string]any{
		"schema": c.Schema, "table": c.Table, "type": c.Type, "columns": columns, "errors": nil,
		"commit_timestamp": c.Committed.UTC().Format("2006-01-02T15:04:05.000Z"),
	}
	if c.Record != nil {
		data["record"] = c.Record
	}
	if c.OldRecord != nil {
		data["old_record"] = c.OldRecord
	}
	return data
}

// parse reads a filter such as "room_id=eq.42".
func (sub *subscription) parse() error {
	if sub.Filter == "" {
		return nil
	}
	var found bool
	if sub.column, sub.value, found = strings.Cut(sub.Filter, "="); found {
		sub.op, sub.value, found = strings.Cut(sub.value, ".")
	}
	if !found || sub.op != "eq" && sub.op != "neq" {
		return fmt.Errorf("filter %q: the stand-in knows column=eq.value and neq", sub.Filter)
	}
	return nil
}

// matches compares text, as Realtime does. A DELETE is compared by what is known of
// the old row: with the usual replica identity that is the primary key, so a filter
// on another column matches none (supabase/walrus, is_visible_through_filters).
func (sub subscription) matches(c Change) bool {
	if sub.Event != "*" && !strings.EqualFold(sub.Event, c.Type) ||
		sub.Schema != "*" && sub.Schema != c.Schema || sub.Table != "" && sub.Table != "*" && sub.Table != c.Table {
		return false
	}
	if sub.column == "" {
		return true
	}
	row := c.Record
	if row == nil {
		row = c.OldRecord
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(row, &fields) != nil || fields[sub.column] == nil {
		return false
	}
	text := string(fields[sub.column])
	_ = json.Unmarshal(fields[sub.column], &text) // a string's value; else its JSON
	return (text == sub.value) == (sub.op == "eq")
}
