package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgnet"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/web"
)

const roomA, roomB, roomC = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002", "cccccccc-0000-4000-8000-000000000003"

// stack is a database with a chat, a Pusher, and what writes to the one.
type stack struct {
	*testing.T
	url    string
	pool   *pgxpool.Pool
	pusher *pushertest.Server
}

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{T: t, url: outboxtest.Chat(t)}
	var err error
	if s.pool, err = pgxpool.New(t.Context(), s.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.pool.Close)
	s.pusher = pushertest.Start(t, pushertest.Options{})
	return s
}

func (s *stack) client(change ...func(*pusher.Config)) *pusher.Client {
	s.Helper()
	cfg := s.pusher.Config()
	for _, c := range change {
		c(&cfg)
	}
	client, err := pusher.New(cfg)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(client.CloseIdle)
	return client
}

// relay starts a relay on the stack. It is drained at the end of the test.
func (s *stack) relay(name string, change ...func(*Config)) *Relay {
	s.Helper()
	r, _ := s.start(name, change...)
	return r
}

// start is relay, with what ends it as a crash does: it tells nobody.
func (s *stack) start(name string, change ...func(*Config)) (r *Relay, kill func()) {
	s.Helper()
	db, err := outbox.Open(outboxtest.Pooled(s, s.url), 4)
	if err != nil {
		s.Fatal(err)
	}
	c := Config{
		Name: name, Outbox: db, Publisher: s.client(),
		Channels: []event.ChannelKind{event.Private}, Log: slog.New(slog.DiscardHandler),
	}
	for _, fn := range change {
		fn(&c)
	}
	r = New(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	kill = func() {
		cancel()
		<-done
	}
	s.Cleanup(func() {
		kill()
		db.Close()
	})
	return r, kill
}

// webhooks starts the stand-in for pg_net and a server that answers its wake-up webhooks with r.
func (s *stack) webhooks(r *Relay) *pgnet.Sender {
	s.Helper()
	webhook := &Webhook{Wake: r.Wake}
	secrets := web.NewSecrets([]string{outboxtest.WebhookSecret}, web.Addresses{}, time.Now)
	server := httptest.NewServer(web.Handle(r.Log, "POST /webhooks/supabase", webhook.ServeHTTP, web.Credential(secrets.Credential, nil)))
	s.Cleanup(server.Close)
	s.exec(`select roomcast.configure(url => $1, secret => $2)`, server.URL+"/webhooks/supabase", outboxtest.WebhookSecret)
	sender, err := pgnet.Start(s.Context(), s.url)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(sender.Stop)
	return sender
}

func (s *stack) exec(sql string, args ...any) {
	s.Helper()
	if _, err := s.pool.Exec(s.Context(), sql, args...); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
}

func (s *stack) insert(room, content string) {
	s.Helper()
	s.exec(`insert into messages (room_id, content) values ($1, $2)`, room, content)
}

// query reads one value.
func query[T any](s *stack, sql string, args ...any) (v T) {
	s.Helper()
	if err := s.pool.QueryRow(s.Context(), sql, args...).Scan(&v); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
	return v
}

// wait waits until Pusher has accepted what done asks for.
func (s *stack) wait(what string, done func([]pushertest.Accepted) bool) []pushertest.Accepted {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 30*time.Second)
	defer cancel()
	if err := s.pusher.Wait(ctx, done); err != nil {
		s.Fatalf("%s: %v; accepted so far: %d", what, err, len(s.pusher.Events()))
	}
	return s.pusher.Events()
}

// waitFor waits until n different events were accepted.
func (s *stack) waitFor(n int) []pushertest.Accepted {
	s.Helper()
	return s.wait(fmt.Sprint(n, " events"), func(all []pushertest.Accepted) bool {
		return len(all) >= n && len(firsts(s.T, all)) >= n
	})
}

// data is what the tests read of an event's data.
type data struct {
	ID       string
	Content  string
	Roomcast struct {
		Seq   int64
		Epoch string
		At    time.Time
		Stub  bool
	}
}

func parse(t *testing.T, a pushertest.Accepted) (d data) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Data), &d); err != nil {
		t.Fatalf("event data is not JSON: %v", err)
	}
	return d
}

// firsts keeps the first arrival of each event of each channel, in order.
func firsts(t *testing.T, all []pushertest.Accepted) (out []pushertest.Accepted) {
	type key struct {
		channel string
		seq     int64
	}
	seen := map[key]bool{}
	for _, a := range all {
		k := key{a.Channel, parse(t, a).Roomcast.Seq}
		if !seen[k] {
			seen[k] = true
			out = append(out, a)
		}
	}
	return out
}

// wantInOrder checks promise 2: per channel, first arrivals are seq 1, 2, 3 …, and
// a repeat is the same event byte for byte.
func wantInOrder(t *testing.T, all []pushertest.Accepted) {
	t.Helper()
	next := map[string]int64{}
	sent := map[string]map[int64]string{}
	for _, a := range all {
		seq := parse(t, a).Roomcast.Seq
		if sent[a.Channel] == nil {
			sent[a.Channel] = map[int64]string{}
		}
		if before, repeated := sent[a.Channel][seq]; repeated {
			if before != a.Data {
				t.Errorf("%s: seq %d was repeated with other data", a.Channel, seq)
			}
			continue
		}
		if want := next[a.Channel] + 1; seq != want {
			t.Errorf("%s: seq %d arrived, want %d", a.Channel, seq, want)
		}
		next[a.Channel] = max(next[a.Channel], seq)
		sent[a.Channel][seq] = a.Data
	}
}

func contents(t *testing.T, all []pushertest.Accepted) (out []string) {
	for _, a := range all {
		out = append(out, parse(t, a).Content)
	}
	return out
}

func acquire(s *stack) *pgx.Conn {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), s.url)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
