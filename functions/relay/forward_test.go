package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/web"
)

const hookSecret = "s3cret-of-the-webhook"

// forwarder is the bell route in forward-only mode, against the emulator.
type forwarder struct {
	*testing.T
	pusher  *pushertest.Server
	forward *Forward
	route   http.Handler
	logged  *bytes.Buffer
}

func newForwarder(t *testing.T) *forwarder {
	t.Helper()
	server, err := pushertest.New(pushertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client, err := pusher.New(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	f := &forwarder{T: t, pusher: server, logged: &bytes.Buffer{}}
	log := slog.New(slog.NewJSONHandler(f.logged, nil))
	forward := &Forward{
		Publisher: client, Channels: event.NewChannels([]event.ChannelKind{event.Private}, nil), Members: []string{"room_members", "room_participants"},
		RoomColumn: "room_id", UserColumn: "user_id", Limit: 3 * time.Second, Observer: Unobserved{}, Log: log,
	}
	f.forward = forward
	bell := &Bell{Secrets: []string{"an-older-secret", hookSecret}, Log: log, Forward: forward.Publish}
	f.route = web.Handle(log, "POST /webhooks/supabase", bell.ServeHTTP)
	return f
}

func (f *forwarder) post(body, secret, contentType string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/webhooks/supabase", strings.NewReader(body))
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	f.route.ServeHTTP(w, r)
	return w
}

// captured reads the body of a webhook recorded from the real pg_net.
func captured(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../testdata/captures", name))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Body string `json:"body_text"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c.Body
}

// rawField cuts a field's bytes out of a JSON object.
func rawField(t *testing.T, body, name string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatal(err)
	}
	return string(fields[name])
}

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

func hook(op, record, old string) string {
	return fmt.Sprintf(`{"type":%q,"table":"messages","schema":"public","record":%s,"old_record":%s}`, op, record, old)
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

// With an outbox the body decides only the answer: whoever knows the secret rings.
func TestBellRingsWhateverTheBody(t *testing.T) {
	rings := 0
	bell := &Bell{Secrets: []string{hookSecret}, Log: slog.New(slog.DiscardHandler), Ring: func() { rings++ }}
	route := web.Handle(bell.Log, "bell", bell.ServeHTTP)
	for _, tc := range []struct {
		body, secret  string
		status, rings int
	}{
		{`{"type":"BELL"}`, hookSecret, 202, 1},
		{`{"type":`, hookSecret, 400, 1},
		{strings.Repeat(" ", 2<<20), hookSecret, 413, 1},
		{`{"type":"BELL"}`, "wrong", 401, 0},
	} {
		rings = 0
		r := httptest.NewRequest("POST", "/", strings.NewReader(tc.body))
		r.Header.Set("Authorization", "Bearer "+tc.secret)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		route.ServeHTTP(w, r)
		if w.Code != tc.status || rings != tc.rings {
			t.Errorf("%.20s: answered %d and rang %d times, want %d and %d", tc.body, w.Code, rings, tc.status, tc.rings)
		}
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
	forward := &Forward{Channels: event.NewChannels([]event.ChannelKind{event.Private}, nil), RoomColumn: "room_id", UserColumn: "user_id",
		Members: []string{"room_members"}, Observer: Unobserved{}, Log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, body string) {
		hook, err := parseWebhook([]byte(body))
		if err != nil {
			return
		}
		changes, err := forward.changes(hook)
		if err != nil {
			return
		}
		batch, err := forward.batch(changes)
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
