package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/web"
)

const user = "8b9f3c0a-4a1e-4f6e-9d55-1c2f3a4b5c6d"

// desk is a Handler's surroundings.
type desk struct {
	refusal error // of a room
	err     error
	rooms   []access.InboxRoom
	read    []string
}

func (d *desk) Reader(*http.Request, string) (string, error) { return user, d.refusal }
func (d *desk) CallerClaims(*http.Request) (string, []byte, error) {
	return user, []byte("{}"), nil
}
func (d *desk) Inbox(context.Context, string, []byte) ([]access.InboxRoom, error) {
	return d.rooms, d.err
}
func (d *desk) MarkRead(_ context.Context, room, userID string, seq int64) error {
	d.read = append(d.read, fmt.Sprint(room, " ", userID, " ", seq))
	return d.err
}

func (d *desk) ask(method, path, body string) *httptest.ResponseRecorder {
	h, mux, log := &Handler{Authorizer: d, Store: d}, http.NewServeMux(), slog.New(slog.DiscardHandler)
	mux.Handle("GET /me/rooms", web.Handle(log, "", h.Rooms))
	mux.Handle("POST /rooms/{room}/read", web.Handle(log, "", h.Read))
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestRooms(t *testing.T) {
	d := &desk{rooms: []access.InboxRoom{
		{Room: "é x", Epoch: "k3f9", Head: 9, Read: 4, Unread: 3, LastAt: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)}, {Room: "new"},
	}}
	want := `{"rooms":[{"room":"é x","epoch":"k3f9","head":9,"read":4,"unread":3,"at":"2026-11-22T20:00:00Z"},{"room":"new","epoch":"","head":0,"read":0,"unread":0}]}` + "\n"
	if w := d.ask("GET", "/me/rooms", ""); w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRead(t *testing.T) {
	d := &desk{}
	if w := d.ask("POST", "/rooms/caf%C3%A9%2Fx/read", `{"seq":42}`); w.Code != 204 || len(d.read) != 1 || d.read[0] != "café/x "+user+" 42" {
		t.Errorf("%d %s, noted %q", w.Code, w.Body, d.read)
	}
	for _, tc := range []struct {
		desk   desk
		body   string
		status int
	}{
		{desk{}, `{"seq":-1}`, 400}, {desk{}, `{"seq":"1"}`, 400}, {desk{}, `{"seq":1.5}`, 400}, {desk{}, `{}`, 400}, {desk{}, `[`, 400},
		{desk{}, `{"seq":1}` + strings.Repeat(" ", 2000), 413},
		{desk{refusal: web.Forbidden("you may not read this room", nil)}, `{"seq":1}`, 403},
		{desk{err: errors.New("secret")}, `{"seq":1}`, 503},
	} {
		w := tc.desk.ask("POST", "/rooms/r/read", tc.body)
		if w.Code != tc.status || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%.20s: %d %s, want %d", tc.body, w.Code, w.Body, tc.status)
		}
		if tc.status < 500 && len(tc.desk.read) > 0 {
			t.Errorf("%.20s: noted", tc.body)
		}
	}
}

// club is a room's members and what their channels hear.
type club struct {
	mu    sync.Mutex
	users []string
	err   error
	asked int
	calls []call
}

type call struct {
	at       time.Time
	channels int
	data     string
}

func (c *club) Members(context.Context, string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return c.users, c.err
}

func (c *club) PublishToSeveral(_ context.Context, channels []string, name string, data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name != event.RoomActivity || !strings.HasPrefix(channels[0], "private-user-") {
		return fmt.Errorf("%s to %s", name, channels[0])
	}
	c.calls = append(c.calls, call{time.Now(), len(channels), string(data)})
	return nil
}

func change(room string, seq int64) event.Change {
	return event.Change{Kind: event.Rows, Name: event.Message, Op: event.Insert, Room: room, Position: &event.Position{Seq: seq, Epoch: "e", At: "t"}}
}

// A busy room's members are told once a second, and the last of it; each call reaches a
// hundred, and the members are read once in a while.
func TestHintsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &club{}
		for i := range 250 {
			c.users = append(c.users, fmt.Sprintf("00000000-0000-4000-8000-%012d", i))
		}
		h := NewHints(c, c, slog.New(slog.DiscardHandler))
		began := time.Now()
		for seq := range int64(50) { // five seconds
			h.Accepted(change("@@r", seq+1))
			time.Sleep(100 * time.Millisecond)
		}
		h.Finish()
		if n := len(c.calls); n < 5*3 || n > 6*3 || c.asked > 4 {
			t.Errorf("%d calls, members asked %d times", n, c.asked)
		}
		byTime := map[time.Duration]int{}
		for _, call := range c.calls {
			byTime[call.at.Sub(began)] += call.channels
		}
		last := time.Duration(-time.Hour)
		for at := time.Duration(0); at < 10*time.Second; at += 50 * time.Millisecond {
			if n, ok := byTime[at]; ok {
				if n != 250 || at-last < hintEvery {
					t.Errorf("%d members told %v after the last time", n, at-last)
				}
				last = at
			}
		}
		var got hint
		if err := json.Unmarshal([]byte(c.calls[len(c.calls)-1].data), &got); err != nil || got != (hint{Room: "@r", Seq: 50, At: "t"}) {
			t.Errorf("the last hint is %+v, %v", got, err)
		}
	})
}

// A user who left a room hears nothing more of it, also by way of another machine: members
// are remembered for less than two seconds, and not at all behind a departure.
func TestHintsEndWithTheMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &club{users: []string{user, "00000000-0000-4000-8000-000000000001"}}
		h := NewHints(c, c, slog.New(slog.DiscardHandler))
		told := func() int {
			h.Finish()
			return c.calls[len(c.calls)-1].channels
		}
		h.Accepted(change("r", 1))
		if n := told(); n != 2 {
			t.Fatalf("%d members are told", n)
		}
		c.users = c.users[1:]
		departure := change("r", 2)
		departure.Kind, departure.Op = event.Members, event.Delete
		h.Accepted(departure)
		h.Accepted(change("r", 3))
		if n := told(); n != 1 {
			t.Errorf("behind a departure %d are told", n)
		}
		c.users = nil
		c.users = append(c.users, user, user, user) // a departure that another machine has sent
		time.Sleep(2 * time.Second)
		h.Accepted(change("r", 4))
		if n := told(); n != 3 {
			t.Errorf("two seconds later %d are told", n)
		}
	})
}

// Memory is bounded: more rooms at once than that are not hinted at; and what is no
// message of a room is not.
func TestHintsAreBounded(t *testing.T) {
	c := &club{err: context.DeadlineExceeded}
	h := NewHints(c, c, slog.New(slog.DiscardHandler))
	h.running = true // nobody takes them
	for i := range maxPending + 100 {
		h.Accepted(change(fmt.Sprint(i), 1))
	}
	other, member, mine := change("r", 1), change("r", 1), change("@"+user, 1)
	other.Name, member.Kind = "reaction", event.Members
	for _, c := range []event.Change{other, member, mine} {
		h.Accepted(c)
	}
	if n := len(h.pending); n != maxPending {
		t.Errorf("%d rooms wait", n)
	}
	channels := make([]string, maxMembers-1)
	h.keep("large", channels)
	h.keep("another", channels[:2])
	if _, ok := h.members.Get("another", time.Now()); ok {
		t.Error("more members are kept than may be")
	}
}

// FuzzRead: whatever is posted is refused, or marks this room, for this user, not before its
// beginning.
func FuzzRead(f *testing.F) {
	for _, body := range []string{`{"seq":3}`, `{"seq":-1}`, `{"SEQ":1e2}`, `{"seq":9223372036854775808}`, `{"seq":1,"seq":null}`, `[]`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		d := &desk{}
		w := d.ask("POST", "/rooms/lobby/read", body)
		if w.Code >= 500 || (w.Code == http.StatusNoContent) != (len(d.read) == 1) {
			t.Fatalf("answered %d, marked %v", w.Code, d.read)
		}
	})
}

// Who writes in many rooms delays those rooms, not others': the room that was hinted at the
// longest ago goes first, and none waits for ever.
func TestHintsAreFair(t *testing.T) {
	c := &club{}
	h := NewHints(c, c, slog.New(slog.DiscardHandler))
	h.running = true // the test takes them
	const noisy = 20 * turnsOf
	write := func() {
		for i := range noisy {
			h.Accepted(change(fmt.Sprint("noisy ", i), 1))
		}
	}
	rooms := func(turn []due) (out []string) {
		for _, d := range turn {
			out = append(out, d.Room)
		}
		return out
	}
	write()
	now := time.Now()
	for len(h.pending) > 0 {
		if turn, _ := h.take(now); len(turn) > turnsOf {
			t.Fatalf("%d rooms in one turn: the others wait for them all", len(turn))
		}
	}
	now = now.Add(hintEvery)
	write()
	h.Accepted(change("quiet", 1))
	if turn, _ := h.take(now); !slices.Contains(rooms(turn), "quiet") {
		t.Errorf("behind those who write all the time: %q", rooms(turn))
	}
	for range 3 { // fresh rooms all the time
		now = now.Add(longest)
		for i := range noisy {
			h.Accepted(change(fmt.Sprint(now, i), 1))
		}
	}
	h.Accepted(change("fresh", 1))
	for len(h.pending) > 0 {
		for _, room := range rooms(first(h.take(now))) {
			if room == "fresh" && slices.ContainsFunc(slices.Collect(maps.Keys(h.pending)), func(key string) bool { return strings.HasPrefix(key, "noisy") }) {
				t.Fatal("who came last goes before who has waited the longest")
			}
		}
	}
}

func first[T, U any](t T, _ U) T { return t }
