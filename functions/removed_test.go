package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

const (
	jwtSecret    = "a-jwt-secret-of-at-least-32-bytes!" // as in environment
	roomA, roomB = "aaaaaaaa-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b"
	ada, bob     = "11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"
)

// heard is what a page learned.
type heard struct{ Page, Channel, Event, Content, User string }

// pages are browsers with the real pusher-js, in one Node process.
type pages struct {
	*testing.T
	stdin io.WriteCloser
	lines chan heard
	seen  []heard // all of it
}

func openPages(t *testing.T) *pages {
	t.Helper()
	cmd := exec.Command("node", "testdata/listener.cjs")
	cmd.Env = append(os.Environ(), "NODE_MODULES="+pushertest.NodeModules(t))
	cmd.Stderr = t.Output()
	p := &pages{T: t, lines: make(chan heard, 10_000)}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var h heard
			if json.Unmarshal(lines.Bytes(), &h) == nil {
				p.lines <- h
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.stdin.Close()
		for range p.lines { // all of stdout, before Wait closes it
		}
		_ = cmd.Wait()
	})
	return p
}

// await returns when all of want were heard, in any order, and then what was heard
// since the last call.
func (p *pages) await(want ...heard) []heard {
	p.Helper()
	from, limit := len(p.seen), time.After(20*time.Second)
	missing := slices.Clone(want)
	for len(missing) > 0 {
		select {
		case h, ok := <-p.lines:
			if !ok {
				p.Fatal("node ended")
			}
			p.seen = append(p.seen, h)
			missing = slices.DeleteFunc(missing, func(w heard) bool { return w == h })
		case <-limit:
			p.Fatalf("not heard: %v\nbut: %v", missing, p.seen[from:])
		}
	}
	return p.seen[from:]
}

// scene is the shipped function between a real Postgres, the emulated Pusher, and
// pages that belong to users.
type scene struct {
	*testing.T
	push *pushertest.Server
	conn *pgx.Conn
	fn   *function
	pages
}

func newScene(t *testing.T, more ...string) *scene {
	t.Helper()
	var target atomic.Pointer[url.URL] // Pusher's webhooks go to a function that is not there yet
	hooks := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target.Load())
	}})
	t.Cleanup(hooks.Close)
	push := pushertest.Start(t, pushertest.Options{WebhookURL: hooks.URL + "/webhooks/pusher"})
	db := outboxtest.Chat(t)
	s := &scene{T: t, push: push, pages: *openPages(t)}
	s.fn = start(t, environment(push, append(more, "DATABASE_URL="+db)...))
	address, err := url.Parse(s.fn.address)
	if err != nil {
		t.Fatal(err)
	}
	target.Store(address)
	if s.conn, err = pgx.Connect(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(t.Context()) })
	return s
}

func (s *scene) exec(sql string, args ...any) {
	s.Helper()
	if _, err := s.conn.Exec(s.Context(), sql, args...); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
	s.fn.wakeUp(s.T)
}

// open opens a page that signs in as a user and listens to channels.
func (s *scene) open(name, user string, channels ...string) {
	s.Helper()
	compact, err := tokentest.HS256(jwtSecret).Sign(tokentest.Claims("https://ref.supabase.co", user, time.Now()))
	if err != nil {
		s.Fatal(err)
	}
	host, port, err := net.SplitHostPort(s.push.Addr())
	if err != nil {
		s.Fatal(err)
	}
	command, err := json.Marshal(map[string]any{
		"page": name, "key": s.push.Config().Key, "host": host, "port": json.Number(port),
		"base": s.fn.address, "token": compact, "channels": channels,
	})
	if err == nil {
		_, err = fmt.Fprintf(s.stdin, "%s\n", command)
	}
	if err != nil {
		s.Fatal(err)
	}
}

func subscribed(page string, channels ...string) (out []heard) {
	for _, channel := range channels {
		out = append(out, heard{Page: page, Channel: channel, Event: "pusher:subscription_succeeded"})
	}
	return append(out, heard{Page: page, Event: "pusher:signin_success"})
}

func message(page, channel, content string) heard {
	return heard{Page: page, Channel: channel, Event: "new-message", Content: content}
}

// Promise 4, with the real pusher-js: who is removed from a room in the database
// hears nothing of it two seconds later, while their other room and the room's other
// members go on.
func TestRemovedFromARoom(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.exec(`insert into room_participants (room_id, user_id) values ($1, $3), ($2, $3), ($1, $4)`, roomA, roomB, ada, bob)
	const a, b = "private-room-" + roomA, "private-room-" + roomB
	s.open("ada", ada, a, b)
	s.open("bob", bob, a, b)
	s.await(append(subscribed("ada", a, b), append(subscribed("bob", a), heard{Page: "bob", Channel: b, Event: "pusher:subscription_error"})...)...)
	say := func(content string) {
		t.Helper()
		s.exec(`insert into messages (room_id, content) values ($1, $3), ($2, $3)`, roomA, roomB, content)
	}
	say("before")
	s.await(message("ada", a, "before"), message("ada", b, "before"), message("bob", a, "before"))

	s.exec(`delete from room_participants where room_id = $1 and user_id = $2`, roomA, ada)
	removed := time.Now()
	s.await(append(subscribed("ada", b),
		heard{Page: "ada", Channel: a, Event: "pusher:subscription_error"},
		heard{Page: "ada", Channel: a, Event: "user-left", User: ada},
		heard{Page: "bob", Channel: a, Event: "user-left", User: ada})...)
	// Two seconds is what is promised, and infra/faults measures; a busy machine takes longer.
	t.Logf("disconnected, back, and refused after %v", time.Since(removed))

	say("after")
	for _, h := range s.await(message("ada", b, "after"), message("bob", a, "after")) {
		if h.Page == "ada" && h.Channel == a || h.Page == "bob" && h.Event == "disconnected" {
			t.Errorf("heard %+v", h)
		}
	}
}

// Who is online is kept beside membership, and announced in the room's order.
func TestPresenceIsKeptAndAnnounced(t *testing.T) {
	t.Parallel()
	s := newScene(t, "ROOM_CHANNELS=presence", "PRESENCE_EVENTS=true")
	s.exec(`insert into room_participants (room_id, user_id) values ($1, $2), ($1, $3)`, roomA, ada, bob)
	const a = "presence-room-" + roomA
	s.open("bob", bob, a)
	s.await(subscribed("bob", a)...)
	s.open("ada", ada, a)
	s.await(append(subscribed("ada", a), heard{Page: "bob", Channel: a, Event: "user-online", User: ada})...)
	s.exec(`delete from room_participants where user_id = $1`, ada)
	s.await(heard{Page: "bob", Channel: a, Event: "user-left", User: ada}, heard{Page: "bob", Channel: a, Event: "user-offline", User: ada})
	var online []string
	if err := s.conn.QueryRow(t.Context(), `select array_agg(user_id) from roomcast.presence where online`).Scan(&online); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(online, []string{bob}) {
		t.Errorf("online: %v", online)
	}
	if status := s.fn.post(t, "/webhooks/pusher", "application/json", `{}`, ""); status != http.StatusUnauthorized {
		t.Errorf("an unsigned webhook is answered %d", status)
	}
}
