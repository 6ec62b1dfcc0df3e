package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher/pushertest"
)

const capturedRoom = "11111111-1111-4111-8111-111111111111"

// The recorded webhooks go through with every byte of the record.
func TestCapturedWebhooksGoThroughUntouched(t *testing.T) {
	// wh_types has every type and no room: it is given one.
	types := strings.Replace(captured(t, "wh_types_insert.json"), `"record": {`, `"record": {"room_id": "`+capturedRoom+`", `, 1)
	for _, tc := range []struct{ name, body, field, event string }{
		{"message", captured(t, "messages_insert.json"), "record", event.NewMessage},
		{"member joined", captured(t, "room_members_insert.json"), "record", event.UserJoined},
		{"member left", captured(t, "room_members_delete.json"), "old_record", event.UserLeft},
		{"every type", types, "record", event.NewMessage},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newForwarder(t)
			if w := f.post(tc.body, hookSecret, "application/json"); w.Code != http.StatusAccepted {
				t.Fatalf("answered %d: %s", w.Code, w.Body)
			}
			all := f.pusher.Events()
			if len(all) != 1 {
				t.Fatalf("published %d events", len(all))
			}
			if want := rawField(t, tc.body, tc.field); all[0].Data != want {
				t.Errorf("record changed\n got %s\nwant %s", all[0].Data, want)
			}
			if all[0].Name != tc.event || all[0].Channel != "private-room-"+capturedRoom {
				t.Errorf("published %s to %s", all[0].Name, all[0].Channel)
			}
		})
	}
}

// Without a database rows do not wait together: on packed channels they travel as
// themselves, where a room has one.
func TestForwardNeverPacks(t *testing.T) {
	f := newForwarder(t)
	f.forward.Channels = event.NewChannels([]event.ChannelKind{event.Private, event.Packed}, []string{"hot"})
	body := hook("UPDATE", `{"id":1,"room_id":"cold"}`, `{"id":1,"room_id":"hot"}`) // gone there, new here
	if w := f.post(body, hookSecret, "application/json"); w.Code != http.StatusAccepted {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	var got []string
	for _, a := range f.pusher.Events() {
		got = append(got, a.Channel+" "+a.Name)
	}
	want := []string{"private-room-hot message-deleted", "private-packed-room-hot message-deleted", "private-room-cold new-message"}
	if !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
}

func TestForwardedChanges(t *testing.T) {
	row := func(room, text string) string {
		return fmt.Sprintf(`{"id": 9007199254740994, "room_id": %s, "content": %q}`, room, text)
	}
	for _, tc := range []struct {
		name, body string
		want       []string // "event channel data"
	}{
		{"edit", hook("UPDATE", row("7", "b"), row("7", "a")), []string{`message-updated private-room-7 ` + row("7", "b")}},
		{"edit of nothing", hook("UPDATE", row("7", "a"), row("7", "a")), nil},
		{"deleted, without its text", hook("DELETE", "null", row("7", "a")), []string{`message-deleted private-room-7 {"id":9007199254740994,"room_id":7}`}},
		{"moved", hook("UPDATE", row("8", "a"), row("7", "a")), []string{
			`message-deleted private-room-7 {"id":9007199254740994,"room_id":7}`, `new-message private-room-8 ` + row("8", "a")}},
		{"no room", hook("INSERT", row("null", "a"), "null"), nil},
		{"unknown keys, other order", `{"old_record":null,"x":[1],"record":{"room_id":"r s"},"schema":"public","table":"messages","type":"INSERT"}`,
			[]string{`new-message private-room-r=20s {"room_id":"r s"}`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newForwarder(t)
			if w := f.post(tc.body, hookSecret, "application/json"); w.Code != http.StatusAccepted {
				t.Fatalf("answered %d: %s", w.Code, w.Body)
			}
			var got []string
			for _, a := range f.pusher.Events() {
				got = append(got, a.Name+" "+a.Channel+" "+a.Data)
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("published\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// No room that a user can name is taken for another one, or for a user's personal stream.
func TestRoomsThatLookLikeKeys(t *testing.T) {
	const user = "11111111-0000-4000-8000-000000000001"
	for room, channel := range map[string]string{
		"@general": "private-room-@general", "@@general": "private-room-@@general", "@" + user: "private-room-@" + user, "@@" + user: "private-room-@@" + user,
	} {
		f := newForwarder(t)
		w := f.post(hook("INSERT", `{"id":1,"room_id":"`+room+`"}`, "null"), hookSecret, "application/json")
		if all := f.pusher.Events(); w.Code != http.StatusAccepted || len(all) != 1 || all[0].Channel != channel {
			t.Errorf("room %s: answered %d, published %+v", room, w.Code, all)
		}
	}
}

// Bad input gets a 4xx that names the field, and publishes nothing.
func TestMalformedWebhooks(t *testing.T) {
	good := captured(t, "messages_insert.json")
	const asJSON = "application/json"
	for _, tc := range []struct {
		name, body, secret, contentType string
		status                          int
		reason                          string
	}{
		{"no secret", good, "", asJSON, 401, "Authorization"},
		{"wrong secret", good, "wrong", asJSON, 401, "Authorization"},
		{"empty secret", good, " ", asJSON, 401, "Authorization"},
		{"wrong content type", good, hookSecret, "text/plain", 415, "Content-Type"},
		{"no content type", good, hookSecret, "", 415, "Content-Type"},
		{"truncated", good[:len(good)/2], hookSecret, asJSON, 400, "body"},
		{"empty", "", hookSecret, asJSON, 400, "body"},
		{"two objects", good + good, hookSecret, asJSON, 400, "body"},
		{"an array", "[" + good + "]", hookSecret, asJSON, 400, "body"},
		{"null", "null", hookSecret, asJSON, 400, "type"},
		{"2 MB", hook("INSERT", `{"room_id":"7","content":"`+strings.Repeat("x", 2<<20)+`"}`, "null"), hookSecret, asJSON, 413, "body"},
		{"type is a number", `{"type":1,"table":"messages","schema":"public","record":{},"old_record":null}`, hookSecret, asJSON, 400, "type"},
		{"type is unknown", `{"type":"TRUNCATE","table":"messages","schema":"public","record":null,"old_record":null}`, hookSecret, asJSON, 400, "type"},
		{"no table", `{"type":"INSERT","schema":"public","record":{"room_id":1},"old_record":null}`, hookSecret, asJSON, 400, "table"},
		{"no schema", `{"type":"INSERT","table":"messages","record":{"room_id":1},"old_record":null}`, hookSecret, asJSON, 400, "schema"},
		{"record is a text", hook("INSERT", `"hello"`, "null"), hookSecret, asJSON, 400, "record"},
		{"record is an array", hook("INSERT", `[{"room_id":1}]`, "null"), hookSecret, asJSON, 400, "record"},
		{"no record", hook("INSERT", "null", "null"), hookSecret, asJSON, 400, "record"},
		{"insert with an old record", hook("INSERT", `{"room_id":1}`, `{"room_id":1}`), hookSecret, asJSON, 400, "old_record"},
		{"delete without an old record", hook("DELETE", "null", "null"), hookSecret, asJSON, 400, "old_record"},
		{"no room column", hook("INSERT", `{"id":1}`, "null"), hookSecret, asJSON, 422, "record.room_id"},
		{"room is an object", hook("INSERT", `{"room_id":{}}`, "null"), hookSecret, asJSON, 422, "record.room_id"},
		{"room is empty", hook("INSERT", `{"room_id":""}`, "null"), hookSecret, asJSON, 422, "record.room_id"},
		{"room too long", hook("INSERT", `{"room_id":"`+strings.Repeat("é", 60)+`"}`, "null"), hookSecret, asJSON, 422, "record.room_id"},
		{"too large for Pusher", hook("INSERT", `{"room_id":"7","content":"`+strings.Repeat("x", 20_000)+`"}`, "null"), hookSecret, asJSON, 422, "record"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newForwarder(t)
			w := f.post(tc.body, tc.secret, tc.contentType)
			var answer struct{ Error, Field string }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatalf("answer is not JSON: %s", w.Body)
			}
			if w.Code != tc.status || answer.Field != tc.reason || answer.Error == "" {
				t.Errorf("answered %d %+v, want %d for %s", w.Code, answer, tc.status, tc.reason)
			}
			if n := len(f.pusher.Events()); n != 0 {
				t.Errorf("published %d events", n)
			}
			if strings.Contains(f.logged.String(), "xxxxxxxx") || strings.Contains(f.logged.String(), hookSecret) {
				t.Error("the log has content or the secret")
			}
		})
	}
}

func TestForwardTriesAgainThenAnswers5xx(t *testing.T) {
	f := newForwarder(t)
	f.pusher.Inject(pushertest.Fault{Status: 500, Times: 2})
	body := captured(t, "messages_insert.json")
	if w := f.post(body, hookSecret, "application/json"); w.Code != http.StatusAccepted || len(f.pusher.Events()) != 1 {
		t.Errorf("after two failures: answered %d, published %d", w.Code, len(f.pusher.Events()))
	}
	f.pusher.Inject(pushertest.Fault{Status: 500})
	if w := f.post(body, hookSecret, "application/json"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("with Pusher down: answered %d, want 503", w.Code)
	}
	f.pusher.Clear()
	f.pusher.Inject(pushertest.Fault{Status: 401})
	if w := f.post(body, hookSecret, "application/json"); w.Code != http.StatusBadGateway {
		t.Errorf("with wrong credentials: answered %d, want 502", w.Code)
	}
}

// The outbox's own wake-up call carries no row, and is no error where there is no outbox.
func TestWakeUpIsAccepted(t *testing.T) {
	f := newForwarder(t)
	body := `{"type":"WAKE","schema":"roomcast","table":"outbox","record":null,"old_record":null}`
	if w := f.post(body, hookSecret, "application/json"); w.Code != http.StatusAccepted || len(f.pusher.Events()) != 0 {
		t.Errorf("answered %d, published %d", w.Code, len(f.pusher.Events()))
	}
}

// Only the configured tables are published, under the configured columns: a reaction
// must not become a new message with its whole row.
func TestTablesAndColumnsAsConfigured(t *testing.T) {
	f := newForwarder(t)
	f.forward.Messages, f.forward.Members = []string{"chat.posts"}, []string{"seats"}
	f.forward.RoomColumn, f.forward.UserColumn = "conversation_id", "member"
	var disconnected []string
	f.forward.Pusher = terminator{f.forward.Pusher, func(user string) error {
		disconnected = append(disconnected, user)
		return nil
	}}
	row := `{"id":1,"room_id":"wrong","conversation_id":"c","member":"u"}`
	for _, tc := range []struct {
		op, schema, table string
		status            int
		event             string
	}{
		{"INSERT", "chat", "posts", 202, "new-message"},
		{"INSERT", "public", "posts", 422, ""},
		{"INSERT", "public", "messages", 422, ""},
		{"INSERT", "public", "reactions", 422, ""},
		{"INSERT", "any", "seats", 202, "user-joined"},
		{"DELETE", "any", "seats", 202, "user-left"},
	} {
		record, old := row, "null"
		if tc.op == "DELETE" {
			record, old = old, record
		}
		body := fmt.Sprintf(`{"type":%q,"schema":%q,"table":%q,"record":%s,"old_record":%s}`, tc.op, tc.schema, tc.table, record, old)
		before := len(f.pusher.Events())
		w := f.post(body, hookSecret, "application/json")
		published := f.pusher.Events()[before:]
		if w.Code != tc.status || (len(published) == 1) != (tc.event != "") {
			t.Errorf("%s %s.%s: answered %d %s, published %d", tc.op, tc.schema, tc.table, w.Code, w.Body, len(published))
		} else if tc.event != "" && (published[0].Name != tc.event || published[0].Channel != "private-room-c") {
			t.Errorf("%s %s.%s: published %s to %s", tc.op, tc.schema, tc.table, published[0].Name, published[0].Channel)
		}
	}
	if !slices.Equal(disconnected, []string{"u"}) {
		t.Errorf("disconnected %v", disconnected)
	}
}

// The disconnect is part of the request that says who left.
func TestWhoLeftIsDisconnected(t *testing.T) {
	f := newForwarder(t)
	client := f.forward.Pusher
	var called []string
	f.forward.Pusher = terminator{client, func(user string) error {
		called = append(called, user)
		return nil
	}}
	body := captured(t, "room_members_delete.json")
	if w := f.post(body, hookSecret, "application/json"); w.Code != http.StatusAccepted {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	if len(called) != 1 || !strings.Contains(body, called[0]) {
		t.Errorf("disconnected %v", called)
	}
	if w := f.post(captured(t, "room_members_insert.json"), hookSecret, "application/json"); w.Code != http.StatusAccepted || len(called) != 1 {
		t.Errorf("answered %d; disconnected %v, who joined", w.Code, called)
	}
	f.forward.Limit = 200 * time.Millisecond
	f.forward.Pusher = terminator{client, func(string) error { return context.DeadlineExceeded }}
	if w := f.post(body, hookSecret, "application/json"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("answered %d though the user was not disconnected, want 503", w.Code)
	}
}

func FuzzWebhook(f *testing.F) {
	for _, name := range []string{"messages_insert.json", "room_members_delete.json", "wh_types_insert.json"} {
		raw, err := os.ReadFile(filepath.Join("../../testdata/captures", name))
		if err != nil {
			f.Fatal(err)
		}
		var c struct {
			Body string `json:"body_text"`
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			f.Fatal(err)
		}
		f.Add(c.Body)
	}
	forward := &Handler{
		Channels: event.NewChannels([]event.ChannelKind{event.Private}, nil), RoomColumn: "room_id", UserColumn: "user_id",
		Messages: []string{"messages", "wh_types"}, Members: []string{"room_members"}, Log: slog.New(slog.DiscardHandler),
	}
	f.Fuzz(func(t *testing.T, body string) {
		hook, err := parseWebhook([]byte(body))
		if err != nil {
			return
		}
		changes, err := forward.changes(hook)
		if err != nil {
			return
		}
		batch, err := forward.events(changes)
		if err != nil {
			return
		}
		for _, e := range batch {
			if !json.Valid(e.Data) {
				t.Errorf("data is not JSON: %q", e.Data)
			}
			if _, _, err := event.ParseChannel(e.Channel); err != nil {
				t.Errorf("channel %q: %v", e.Channel, err)
			}
		}
	})
}
