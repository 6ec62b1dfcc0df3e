package realtimetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roomcast/shared/browser/realtimetest"
)

// The real supabase-js against this server is what shared/browser's tests are full
// of; here the frames themselves are looked at.

// client speaks the protocol by hand.
type client struct {
	*testing.T
	conn *websocket.Conn
	old  bool // version 1.0.0
	refs int
}

func dial(t *testing.T, s *realtimetest.Server, version string) *client {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	t.Cleanup(s.Cut)
	conn, _, err := websocket.Dial(t.Context(), h.URL+realtimetest.Path+"?apikey=anon&vsn="+version, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &client{T: t, conn: conn, old: version == "1.0.0"}
}

func (c *client) say(topic, event string, payload any) {
	c.Helper()
	c.refs++
	ref := fmt.Sprint(c.refs)
	var frame []byte
	if c.old {
		frame, _ = json.Marshal(map[string]any{"join_ref": ref, "ref": ref, "topic": topic, "event": event, "payload": payload})
	} else {
		frame, _ = json.Marshal([]any{ref, ref, topic, event, payload})
	}
	if err := c.conn.Write(c.Context(), websocket.MessageText, frame); err != nil {
		c.Fatal(err)
	}
}

// hear returns the next frame as "event payload".
func (c *client) hear() string {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
	defer cancel()
	_, frame, err := c.conn.Read(ctx)
	if err != nil {
		return err.Error()
	}
	var event string
	var payload json.RawMessage
	if c.old {
		var m struct {
			Event   string
			Payload json.RawMessage
		}
		err = json.Unmarshal(frame, &m)
		event, payload = m.Event, m.Payload
	} else {
		var parts []json.RawMessage
		if err = json.Unmarshal(frame, &parts); err == nil {
			payload = parts[4]
			err = json.Unmarshal(parts[3], &event)
		}
	}
	if err != nil {
		c.Fatalf("%s: %v", frame, err)
	}
	return event + " " + string(payload)
}

func (c *client) expect(parts ...string) {
	c.Helper()
	got := c.hear()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			c.Errorf("heard %s, want %s in it", got, part)
		}
	}
}

const topic = "realtime:lobby"

func (c *client) join(token string, filters ...string) {
	c.Helper()
	changes := make([]any, len(filters))
	for i, filter := range filters {
		changes[i] = map[string]string{"event": "*", "schema": "public", "table": "messages", "filter": filter}
	}
	c.say(topic, "phx_join", map[string]any{"access_token": token, "config": map[string]any{"postgres_changes": changes}})
}

func insert(room, id string) realtimetest.Change {
	record := fmt.Appendf(nil, `{"id":%q,"room_id":%q}`, id, room)
	return realtimetest.Change{Schema: "public", Table: "messages", Type: "INSERT", Record: record, Keys: []string{"id"}, Committed: time.Unix(0, 0)}
}

func TestProtocol(t *testing.T) {
	for _, version := range []string{"2.0.0", "1.0.0"} {
		t.Run(version, func(t *testing.T) {
			s := realtimetest.New(realtimetest.Options{LiveAfter: time.Millisecond, Poll: time.Millisecond})
			c := dial(t, s, version)
			c.say("phoenix", "heartbeat", struct{}{})
			c.expect(`phx_reply`, `"status":"ok"`)
			c.join("", "room_id=eq.a")
			c.expect(`phx_reply`, `"postgres_changes":[{"id":1,"event":"*","schema":"public","table":"messages","filter":"room_id=eq.a"}]`)
			c.expect(`system`, `"extension":"postgres_changes"`, `"status":"ok"`)
			s.Commit(insert("b", "other room"))
			s.Commit(insert("a", "m1"))
			c.expect(`postgres_changes`, `"ids":[1]`, `"record":{"id":"m1","room_id":"a"}`, `"commit_timestamp":"1970-01-01T00:00:00.000Z"`, `"type":"INSERT"`)
			c.say(topic, "phx_leave", struct{}{})
			c.expect(`phx_reply`)
			c.expect(`phx_close`)
		})
	}
}

// What is committed between the join's reply and the system message is lost.
func TestSubscribedTooEarly(t *testing.T) {
	s := realtimetest.New(realtimetest.Options{LiveAfter: 300 * time.Millisecond, Poll: time.Millisecond})
	c := dial(t, s, "2.0.0")
	c.join("", "room_id=eq.a")
	c.expect("phx_reply")
	s.Commit(insert("a", "early"))
	c.expect("system")
	s.Commit(insert("a", "late"))
	c.expect("postgres_changes", "late")
	if n := s.Stats().Live; n != 1 {
		t.Errorf("%d channels live", n)
	}
}

// A filter sees of a deleted row what its replica identity has.
func TestDelete(t *testing.T) {
	s := realtimetest.New(realtimetest.Options{LiveAfter: time.Millisecond, Poll: time.Millisecond,
		Visible: func(context.Context, json.RawMessage, realtimetest.Change) bool { return true }})
	c := dial(t, s, "2.0.0")
	c.join("", "room_id=eq.a")
	c.expect("phx_reply")
	c.expect("system")
	gone := realtimetest.Change{Schema: "public", Table: "messages", Type: "DELETE", Keys: []string{"id"}}
	gone.OldRecord = json.RawMessage(`{"id":"keys only"}`)
	s.Commit(gone)
	gone.OldRecord = json.RawMessage(`{"id":"full","room_id":"a","content":"secret"}`)
	s.Commit(gone)
	c.expect(`"old_record":{"id":"full"}`) // with row level security only the keys
}

func TestRowLevelSecurity(t *testing.T) {
	s := realtimetest.New(realtimetest.Options{LiveAfter: time.Millisecond, Poll: time.Millisecond,
		Verify: func(_ context.Context, token string) (json.RawMessage, time.Time, error) {
			if token == "forged" {
				return nil, time.Time{}, errors.New("signature")
			}
			return json.RawMessage(`"` + token + `"`), time.Time{}, nil
		},
		Visible: func(_ context.Context, claims json.RawMessage, c realtimetest.Change) bool {
			return strings.Contains(string(c.Record), string(claims))
		},
	})
	c := dial(t, s, "2.0.0")
	c.join("forged", "room_id=eq.a")
	c.expect("phx_reply", `"status":"error"`, "InvalidJWTToken")
	c.join("", "room_id=like.a")
	c.expect("phx_reply", `"status":"error"`, "filter")
	c.join("ann", "room_id=eq.a")
	c.expect("phx_reply", `"status":"ok"`)
	c.expect("system")
	s.Commit(insert("a", "bob"))
	s.Commit(insert("a", "ann"))
	c.expect(`{"id":"ann"`)
	c.say(topic, "access_token", map[string]string{"access_token": "bob"})
	c.say("phoenix", "heartbeat", struct{}{})
	c.expect("phx_reply") // the token is taken by now
	s.Commit(insert("a", "ann"))
	s.Commit(insert("a", "bob"))
	c.expect(`{"id":"bob"`)
}

func TestTokenExpires(t *testing.T) {
	s := realtimetest.New(realtimetest.Options{LiveAfter: time.Millisecond, Poll: time.Millisecond,
		Verify: func(context.Context, string) (json.RawMessage, time.Time, error) {
			return nil, time.Now().Add(100 * time.Millisecond), nil
		}})
	c := dial(t, s, "2.0.0")
	c.join("short", "room_id=eq.a")
	c.expect("phx_reply")
	c.expect("system", `"status":"ok"`)
	c.expect("system", `"status":"error"`, "expired")
	c.expect("phx_close")
}

func TestFaults(t *testing.T) {
	s := realtimetest.New(realtimetest.Options{LiveAfter: time.Millisecond, Poll: time.Millisecond})
	c := dial(t, s, "2.0.0")
	c.join("", "")
	c.expect("phx_reply")
	c.expect("system")
	s.Lose(1)
	s.Commit(insert("a", "lost"))
	s.Commit(insert("a", "kept"))
	c.expect("kept")
	s.Refuse(true)
	s.Cut()
	if got := c.hear(); !strings.Contains(got, "EOF") && !strings.Contains(got, "closed") && !strings.Contains(got, "reset") {
		t.Errorf("after the cut heard %s", got)
	}
	h := httptest.NewServer(s)
	defer h.Close()
	if _, _, err := websocket.Dial(t.Context(), h.URL, nil); err == nil {
		t.Error("a connection was taken")
	}
}

// Asking who may see a row can take longer than a poll; the next one waits for its end,
// or changes would overtake one another.
func TestSlowPolls(t *testing.T) {
	asked, second := make(chan bool, 1), make(chan bool)
	s := realtimetest.New(realtimetest.Options{
		LiveAfter: time.Millisecond, Poll: time.Millisecond,
		Visible: func(_ context.Context, _ json.RawMessage, c realtimetest.Change) bool {
			if strings.Contains(string(c.Record), "m2") {
				close(second)
				return true
			}
			asked <- true
			select {
			case <-second:
				t.Error("the second poll did not wait for the first")
			case <-time.After(200 * time.Millisecond): // fifty polls: it waits
			}
			return true
		},
	})
	c := dial(t, s, "2.0.0")
	c.join("", "room_id=eq.lobby")
	c.expect("phx_reply")
	c.expect("Subscribed to PostgreSQL")
	s.Commit(insert("lobby", "m1"))
	<-asked
	s.Commit(insert("lobby", "m2"))
	c.expect("m1")
	c.expect("m2")
}
