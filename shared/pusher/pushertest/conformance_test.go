package pushertest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/shared/pusher"
)

// What an app, its pages and Pusher do together, told once. The pages are the real pusher-js.
var conformance = []struct {
	name string
	play func(*testing.T, *stage)
}{
	{"public channel", publicChannel},
	{"private channel", privateChannel},
	{"wrong signature", wrongSignature},
	{"presence channel", presenceChannel},
	{"encrypted channel", encryptedChannel},
	{"client events", clientEvents},
	{"unsubscribe", unsubscribe},
	{"sign-in and termination", signIn},
	{"cut and come back", cutAndComeBack},
}

func TestConformance(t *testing.T) {
	pages := startBrowsers(t)
	key := base64.StdEncoding.EncodeToString([]byte("01234567890123456789012345678901"))
	for _, name := range []string{"package pusher", "npm pusher"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{EncryptionKey: key})
			var lib library = ours{client(t, s)}
			if name == "npm pusher" {
				lib = theirs{startNPM(t, npmApp(s))}
			}
			st := &stage{browsers: pages, server: s, lib: lib, auth: authServer(t, lib)}
			for _, c := range conformance {
				t.Run(c.name, func(t *testing.T) {
					pages.forget()
					c.play(t, st)
				})
			}
		})
	}
}

func publicChannel(t *testing.T, st *stage) {
	anna := st.enter(t, "anna")
	st.enter(t, "ben")
	st.subscribe(t, "anna", "room-1")
	st.subscribe(t, "ben", "room-1")
	if err := trigger(st.server, pusher.Event{Channel: "room-1", Name: "one", Data: []byte(`{"t":"<&> 😀 \u2028"}`)}, anna); err != nil {
		t.Fatal(err)
	}
	st.publish(t, pusher.Event{Channel: "room-1", Name: "two", Data: []byte(`plain text`)})
	if got := st.await(t, seen{Browser: "ben", Channel: "room-1", Event: "one"}); !sameJSON(got.Data, `{"t":"<&> 😀 \u2028"}`) {
		t.Errorf("ben got %s", got.Data)
	}
	st.await(t, seen{Browser: "ben", Channel: "room-1", Event: "two", Data: []byte(`"plain text"`)})
	st.await(t, seen{Browser: "anna", Channel: "room-1", Event: "two"})
	st.none(t, seen{Browser: "anna", Event: "one"}) // her socket id was excluded
}

func privateChannel(t *testing.T, st *stage) {
	st.enter(t, "anna")
	st.subscribe(t, "anna", "private-room-=20")
	var batch []pusher.Event
	for n := range pusher.MaxBatch {
		batch = append(batch, pusher.Event{Channel: "private-room-=20", Name: "n", Data: fmt.Appendf(nil, `{"n":%d}`, n)})
	}
	if err := st.lib.batch(within(t), batch); err != nil {
		t.Fatal(err)
	}
	for n := range pusher.MaxBatch {
		if got := st.await(t, seen{Browser: "anna", Event: "n"}); !sameJSON(got.Data, string(batch[n].Data)) {
			t.Fatalf("event %d is %s", n, got.Data)
		}
	}
}

func wrongSignature(t *testing.T, st *stage) {
	st.enter(t, "mallory")
	for _, channel := range []string{"private-room-1", "presence-room-1", "private-encrypted-room-1"} {
		st.do(t, "subscribe", "mallory", channel)
		st.await(t, seen{Browser: "mallory", Channel: channel, Event: "pusher:subscription_error"})
		st.publish(t, pusher.Event{Channel: channel, Name: "secret", Data: []byte(`{}`)})
	}
	st.settle(t, "mallory")
	st.none(t, seen{Browser: "mallory", Event: "secret"})
	st.none(t, seen{Browser: "mallory", Event: "pusher:subscription_succeeded"})
}

func presenceChannel(t *testing.T, st *stage) {
	const room = "presence-room-1"
	for _, page := range []string{"anna1", "anna2", "ben"} {
		st.enter(t, page)
	}
	if got := st.subscribe(t, "anna1", room); !sameJSON([]byte(got), `{"ids":["anna"],"count":1,"me":"anna"}`) {
		t.Errorf("anna is greeted with %s", got)
	}
	if got := st.subscribe(t, "ben", room); !sameJSON([]byte(got), `{"ids":["anna","ben"],"count":2,"me":"ben"}`) {
		t.Errorf("ben is greeted with %s", got)
	}
	joined := st.await(t, seen{Browser: "anna1", Channel: room, Event: "pusher:member_added"})
	if !sameJSON(joined.Data, `{"id":"ben","info":{"name":"<ben>"}}`) {
		t.Errorf("joined: %s", joined.Data)
	}
	// A second page of the same user is no second member, coming or going.
	if got := st.subscribe(t, "anna2", room); !sameJSON([]byte(got), `{"ids":["anna","ben"],"count":2,"me":"anna"}`) {
		t.Errorf("anna's second page is greeted with %s", got)
	}
	st.do(t, "unsubscribe", "anna2", room)
	st.settle(t, "anna2")
	st.do(t, "disconnect", "ben", "")
	left := st.await(t, seen{Browser: "anna1", Channel: room, Event: "pusher:member_removed"})
	if !sameJSON(left.Data, `{"id":"ben","info":{"name":"<ben>"}}`) {
		t.Errorf("left: %s", left.Data)
	}
	st.none(t, seen{Channel: room, Event: "pusher:member_added"})
	st.none(t, seen{Channel: room, Event: "pusher:member_removed"})
}

func encryptedChannel(t *testing.T, st *stage) {
	const room = "private-encrypted-room-1"
	st.enter(t, "anna")
	st.subscribe(t, "anna", room)
	st.publish(t, pusher.Event{Channel: room, Name: "alone", Data: []byte(`{"t":"é"}`)})
	if err := st.lib.batch(within(t), []pusher.Event{
		{Channel: room, Name: "batched", Data: []byte(`{"n":1}`)},
		{Channel: "room-1", Name: "clear", Data: []byte(`{"n":2}`)},
	}); err != nil {
		t.Fatal(err)
	}
	st.await(t, seen{Browser: "anna", Channel: room, Event: "alone", Data: []byte(`{"t":"é"}`)})
	st.await(t, seen{Browser: "anna", Channel: room, Event: "batched", Data: []byte(`{"n":1}`)})
	for _, e := range st.server.Events() {
		if e.Channel == room && !strings.HasPrefix(e.Data, `{"nonce":"`) {
			t.Errorf("the server saw %s", e.Data)
		}
	}
}

func clientEvents(t *testing.T, st *stage) {
	for _, page := range []string{"anna", "ben"} {
		st.enter(t, page)
		st.subscribe(t, page, "presence-talk")
		st.subscribe(t, page, "private-talk")
		st.subscribe(t, page, "talk")
	}
	for _, channel := range []string{"talk", "private-talk", "presence-talk"} {
		st.say(t, map[string]any{"op": "trigger", "browser": "anna", "channel": channel,
			"event": "client-typing", "data": map[string]any{"on": channel}})
	}
	st.await(t, seen{Browser: "ben", Channel: "private-talk", Event: "client-typing", Data: []byte(`{"on":"private-talk"}`)})
	// Only a presence channel tells who it was.
	st.await(t, seen{Browser: "ben", Channel: "presence-talk", Event: "client-typing", UserID: "anna"})
	st.await(t, seen{Browser: "anna", Kind: "error"}) // a public channel takes none
	st.settle(t, "anna")
	st.none(t, seen{Event: "client-typing"}) // neither echoed nor public
}

func unsubscribe(t *testing.T, st *stage) {
	st.enter(t, "anna")
	st.enter(t, "ben")
	st.subscribe(t, "anna", "private-leave")
	st.subscribe(t, "ben", "private-leave")
	st.do(t, "unsubscribe", "anna", "private-leave")
	st.settle(t, "anna")
	st.publish(t, pusher.Event{Channel: "private-leave", Name: "late", Data: []byte(`{}`)})
	st.await(t, seen{Browser: "ben", Event: "late"})
	if n := st.server.hub.subscribers("private-leave"); n != 1 {
		t.Errorf("%d subscribers, want 1", n)
	}
}

func signIn(t *testing.T, st *stage) {
	for _, page := range []string{"anna1", "anna2", "ben"} {
		st.enter(t, page)
		st.do(t, "signin", page, "")
		st.await(t, seen{Browser: page, Kind: "message", Event: "pusher:signin_success"})
	}
	if err := st.server.WaitSubscribers(within(t), "#server-to-user-anna", 2); err != nil {
		t.Fatal(err)
	}
	if npm, ok := st.lib.(theirs); ok { // our client has no use for it, and so no call
		if _, _, err := npm.call(within(t), "sendToUser", map[string]any{"user": "anna", "event": "hi", "data": "x"}); err != nil {
			t.Fatal(err)
		}
		st.await(t, seen{Browser: "anna1", Kind: "user", Event: "hi"})
		st.await(t, seen{Browser: "anna2", Kind: "user", Event: "hi"})
	}
	if err := st.lib.terminate(within(t), "anna"); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"anna1", "anna2"} {
		st.await(t, seen{Browser: page, Kind: "error", Event: "4009"})
		st.await(t, seen{Browser: page, Kind: "state", Event: "disconnected"})
	}
	st.none(t, seen{Browser: "ben", Kind: "state"})
	st.none(t, seen{Browser: "ben", Event: "hi"})
	st.enter(t, "mallory")
	st.do(t, "signin", "mallory", "")
	st.await(t, seen{Browser: "mallory", Kind: "error", Event: "4009"})
}

func cutAndComeBack(t *testing.T, st *stage) {
	first := st.enter(t, "anna")
	st.subscribe(t, "anna", "private-back")
	st.server.Cut()
	st.await(t, seen{Browser: "anna", Kind: "state", Event: "connecting"})
	again := st.await(t, seen{Browser: "anna", Kind: "state", Event: "connected"})
	st.await(t, seen{Browser: "anna", Channel: "private-back", Event: "pusher:subscription_succeeded"})
	st.publish(t, pusher.Event{Channel: "private-back", Name: "after", Data: []byte(`{}`)})
	st.await(t, seen{Browser: "anna", Event: "after"})
	if again.SocketID == first {
		t.Error("the new connection has the old one's socket id")
	}
	st.server.CloseSockets(codeRestart, "come back")
	st.await(t, seen{Browser: "anna", Kind: "state", Event: "connected"})
}

// Both libraries verify the emulator's webhooks, one of which has to be repeated.
func TestWebhooks(t *testing.T) {
	pages := startBrowsers(t)
	for _, name := range []string{"package pusher", "npm pusher"} {
		t.Run(name, func(t *testing.T) {
			var lib library
			var refused atomic.Bool
			events := make(chan pusher.WebhookEvent, 10)
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if refused.CompareAndSwap(false, true) {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				body, _ := io.ReadAll(r.Body)
				got, err := lib.webhook(r.Context(), r.Header, body)
				if err != nil {
					t.Errorf("%s: %v", body, err)
				}
				for _, e := range got {
					events <- e
				}
			}))
			defer app.Close()
			s := start(t, Options{WebhookURL: app.URL, WebhookRetry: time.Millisecond})
			lib = ours{client(t, s)}
			if name == "npm pusher" {
				app := npmApp(s)
				delete(app, "encryptionMasterKeyBase64")
				lib = theirs{startNPM(t, app)}
			}
			st := &stage{browsers: pages, server: s, lib: lib, auth: authServer(t, lib)}
			st.enter(t, "anna")
			st.subscribe(t, "anna", "presence-hooks")
			st.do(t, "disconnect", "anna", "")
			for _, want := range []pusher.WebhookEvent{
				{Name: "channel_occupied", Channel: "presence-hooks"},
				{Name: "member_added", Channel: "presence-hooks", UserID: "anna"},
				{Name: "member_removed", Channel: "presence-hooks", UserID: "anna"},
				{Name: "channel_vacated", Channel: "presence-hooks"},
			} {
				select {
				case got := <-events:
					if got != want {
						t.Errorf("got %+v, want %+v", got, want)
					}
				case <-within(t).Done():
					t.Fatalf("no %s", want.Name)
				}
			}
		})
	}
}

// The npm package reads the state of channels.
func TestNPMReadsChannels(t *testing.T) {
	pages := startBrowsers(t)
	s := start(t, Options{})
	app := npmApp(s)
	delete(app, "encryptionMasterKeyBase64")
	npm := startNPM(t, app)
	lib := theirs{npm}
	st := &stage{browsers: pages, server: s, lib: lib, auth: authServer(t, lib)}
	for _, page := range []string{"anna1", "anna2", "ben"} {
		st.enter(t, page)
		st.subscribe(t, page, "presence-room")
	}
	st.subscribe(t, "ben", "private-room")
	for _, tc := range []struct {
		path   string
		params map[string]any
		want   string
		status int
	}{
		{"/channels", nil, `{"channels":{"presence-room":{},"private-room":{}}}`, 200},
		{"/channels", map[string]any{"filter_by_prefix": "presence-", "info": "user_count"},
			`{"channels":{"presence-room":{"user_count":2}}}`, 200},
		{"/channels", map[string]any{"info": "user_count"}, "", 400},
		{"/channels/presence-room", map[string]any{"info": "user_count,subscription_count"},
			`{"occupied":true,"user_count":2,"subscription_count":3}`, 200},
		{"/channels/private-room", map[string]any{"info": "user_count"}, "", 400},
		{"/channels/nobody-here", nil, `{"occupied":false}`, 200},
		{"/channels/presence-room/users", nil, `{"users":[{"id":"anna"},{"id":"ben"}]}`, 200},
		{"/channels/private-room/users", nil, "", 400},
	} {
		got, status, err := npm.call(within(t), "get", map[string]any{"path": tc.path, "params": tc.params})
		if status != tc.status || (err == nil) != (tc.status == 200) || tc.want != "" && !sameJSON(got, tc.want) {
			t.Errorf("%s %v: %d %s, %v; want %d %s", tc.path, tc.params, status, got, err, tc.status, tc.want)
		}
	}
}

// sameJSON compares values, not how they are written.
func sameJSON(got []byte, want string) bool {
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
		return false
	}
	return nested(a) == nested(b)
}
