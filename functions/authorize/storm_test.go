package authorize_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/functions/authorize"
	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher"
	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
	"roomcast/shared/web"
)

// The storm: every client of a chat is back after an outage and asks for every room
// at once. All stands on this machine: clients, function, Postgres.
const (
	stormClients = 10_000
	stormRooms   = 5
	stormConns   = 500 // what a proxy keeps open to one machine
	stormSlots   = 4   // as the function has it
)

// BenchmarkStorm lets 10,000 clients ask for 5 rooms each, all at the same moment,
// over HTTP, with tokens of their own signed with ES256, against the real database.
// One iteration is one storm. It reports answers per second, and how long after the
// storm's beginning half and 99 in 100 of them had come.
func BenchmarkStorm(b *testing.B) {
	s := newStorm(b)
	for b.Loop() {
		s.run(b)
	}
	took := b.Elapsed().Seconds()
	b.ReportMetric(float64(len(s.took))/took, "answers/s")
	slices.Sort(s.took)
	b.ReportMetric(s.took[len(s.took)/2].Seconds(), "p50-s")
	b.ReportMetric(s.took[len(s.took)*99/100].Seconds(), "p99-s")
	b.ReportMetric(100*float64(s.shed)/float64(len(s.took)), "%shed")
	b.ReportMetric(float64(s.access.asked.Load())/float64(b.N), "questions")
	b.ReportMetric(float64(s.access.calls.Load())/float64(b.N), "calls")
	b.ReportMetric(0, "ns/op") // says less than the others
}

type storm struct {
	url    string
	client *http.Client
	tokens []string
	access *counted

	mu   sync.Mutex
	took []time.Duration
	shed int
}

// counted counts what gets through to the database.
type counted struct {
	access.Store
	asked, calls atomic.Int64
}

func (c *counted) CanRead(ctx context.Context, room, userID string, claims []byte) (bool, error) {
	c.asked.Add(1)
	c.calls.Add(1)
	return c.Store.CanRead(ctx, room, userID, claims)
}

func (c *counted) CanReadAll(ctx context.Context, rooms, userIDs []string, claims [][]byte) ([]*bool, error) {
	c.asked.Add(int64(len(rooms)))
	c.calls.Add(1)
	return c.Store.CanReadAll(ctx, rooms, userIDs, claims)
}

func newStorm(b *testing.B) *storm {
	b.Helper()
	database := outboxtest.Chat(b)
	if err := outboxtest.Exec(b.Context(), database, fmt.Sprintf(`
		set roomcast.capture = 'off';
		insert into room_participants (room_id, user_id)
		select ('00000000-0000-4000-8000-' || lpad(((c * 7 + r) %% 2000)::text, 12, '0'))::uuid, ('11111111-0000-4000-8000-' || lpad(c::text, 12, '0'))::uuid
		  from generate_series(0, %d) c, generate_series(0, %d) r;
		analyze room_participants`, stormClients-1, stormRooms-1)); err != nil {
		b.Fatal(err)
	}
	db, err := outbox.Open(database, stormSlots)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(db.Close)
	s := &storm{access: &counted{Store: access.Store{DB: db}}, client: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxConnsPerHost: stormConns, MaxIdleConnsPerHost: stormConns},
	}}
	b.Cleanup(s.client.CloseIdleConnections)
	s.serve(b, authorize.NewCoalescer(authorize.CoalescerConfig{Access: s.access, Remember: 750 * time.Millisecond, Slots: stormSlots}))
	return s
}

// serve makes the tokens and the function's one route.
func (s *storm) serve(b *testing.B, coalescer *authorize.Coalescer) {
	signer, err := tokentest.ES256("k1")
	if err != nil {
		b.Fatal(err)
	}
	keys, err := tokentest.Serve(signer)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(keys.Close)
	for c := range stormClients {
		compact, err := signer.Sign(tokentest.Claims(keys.URL, fmt.Sprintf("11111111-0000-4000-8000-%012d", c), time.Now()))
		if err != nil {
			b.Fatal(err)
		}
		s.tokens = append(s.tokens, compact)
	}
	verifier, err := token.New(token.Config{SupabaseURL: keys.URL, Leeway: token.DefaultLeeway})
	if err != nil {
		b.Fatal(err)
	}
	push, err := pusher.New(pusher.Config{AppID: "3", Key: pusherKey, Secret: pusherSecret, Cluster: "eu"})
	if err != nil {
		b.Fatal(err)
	}
	h := authorize.New(authorize.Config{Verifier: verifier, Access: coalescer, Signer: push, Kinds: []event.ChannelKind{event.Private}})
	server := httptest.NewServer(web.Handle(slog.New(slog.DiscardHandler), "POST /pusher/auth", h.Channel))
	b.Cleanup(server.Close)
	s.url = server.URL
}

func (s *storm) run(b *testing.B) {
	var wg sync.WaitGroup
	began := time.Now()
	for c := range stormClients {
		for r := range stormRooms {
			wg.Go(func() {
				room := fmt.Sprintf("00000000-0000-4000-8000-%012d", (c*7+r)%2000)
				status, err := s.ask(s.tokens[c], "private-room-"+room)
				took := time.Since(began)
				s.mu.Lock()
				defer s.mu.Unlock()
				s.took = append(s.took, took)
				switch {
				case status == http.StatusServiceUnavailable:
					s.shed++
				case err != nil || status != http.StatusOK:
					b.Errorf("status %d, error %v", status, err)
				}
			})
		}
	}
	wg.Wait()
}

func (s *storm) ask(compact, channel string) (status int, err error) {
	form := url.Values{"socket_id": {"1234.5678"}, "channel_name": {channel}}.Encode()
	r, err := http.NewRequest(http.MethodPost, s.url, strings.NewReader(form))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+compact)
	res, err := s.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}
