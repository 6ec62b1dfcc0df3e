package authorize_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"roomcast/functions/authorize"
	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
	"roomcast/shared/web"
)

var _ authorize.Access = access.Store{}

const (
	project = "https://ref.supabase.co"
	secret  = "super-secret-jwt-token-with-at-least-32-characters-long"
	user    = "8b9f3c0a-4a1e-4f6e-9d55-1c2f3a4b5c6d"
	room    = "3f0c9d58-7a56-4a53-9a3b-0f4f5b1d2c11"

	// The credentials of testdata/vectors.md.
	pusherKey     = "278d425bdf160c739803"
	pusherSecret  = "7ad3773142a6692b25b8"
	encryptionKey = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
)

var (
	start    = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	allKinds = []event.ChannelKind{event.Private, event.Presence, event.Encrypted, event.Public, event.Packed}
)

// members is Access out of a list of rooms; everybody is in all of them.
type members struct {
	rooms map[string]bool
	err   error

	mu    sync.Mutex
	asked []string
}

func (m *members) CanRead(_ context.Context, room, _ string, _ []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, room)
	return m.rooms[room], m.err
}

// accessFunc is Access out of a function.
type accessFunc func(ctx context.Context, room, userID string, claims []byte) (bool, error)

func (f accessFunc) CanRead(ctx context.Context, room, userID string, claims []byte) (bool, error) {
	return f(ctx, room, userID, claims)
}

// spy counts what is signed by the real client.
type spy struct {
	*pusher.Client
	signed []string
}

func (s *spy) AuthorizePrivate(socketID, channel string) ([]byte, error) {
	s.signed = append(s.signed, socketID+" "+channel)
	return s.Client.AuthorizePrivate(socketID, channel)
}

func (s *spy) AuthorizePresence(socketID, channel string, m pusher.Member) ([]byte, error) {
	s.signed = append(s.signed, socketID+" "+channel)
	return s.Client.AuthorizePresence(socketID, channel, m)
}

func (s *spy) AuthorizeEncrypted(socketID, channel string) ([]byte, error) {
	s.signed = append(s.signed, socketID+" "+channel)
	return s.Client.AuthorizeEncrypted(socketID, channel)
}

func (s *spy) AuthorizeUser(socketID string, data map[string]any) ([]byte, error) {
	s.signed = append(s.signed, socketID+" user")
	return s.Client.AuthorizeUser(socketID, data)
}

// desk is a Handler with everything around it: only the database is made up.
type desk struct {
	members *members
	signer  *spy
	results []string
	channel http.Handler
	user    http.Handler
	batch   http.Handler
}

func newDesk(t testing.TB, options ...func(*authorize.Config)) *desk {
	t.Helper()
	client, err := pusher.New(pusher.Config{
		AppID: "3", Key: pusherKey, Secret: pusherSecret, Cluster: "eu", EncryptionKey: encryptionKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := token.New(token.Config{
		SupabaseURL: project, JWTSecret: secret,
		Clock:      func() time.Time { return start },
		HTTPClient: &http.Client{Transport: down{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{members: &members{rooms: map[string]bool{room: true, "é x": true}}, signer: &spy{Client: client}}
	cfg := authorize.Config{
		Verifier: verifier, Access: d.members, Signer: d.signer, Kinds: allKinds,
		Observe: func(result string) { d.results = append(d.results, result) },
	}
	for _, option := range options {
		option(&cfg)
	}
	h := authorize.New(cfg)
	log := slog.New(slog.DiscardHandler)
	d.channel = web.Handle(log, "POST /pusher/auth", h.Channel)
	d.batch = web.Handle(log, "POST /pusher/auth/batch", h.Batch)
	d.user = web.Handle(log, "POST /pusher/user-auth", h.User)
	return d
}

// down is a network on which nothing answers.
type down struct{}

func (down) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("network down") }

// bearer mints the token of a good user, changed by edits.
func bearer(t testing.TB, edits ...func(map[string]any)) string {
	t.Helper()
	claims := tokentest.Claims(project, user, start)
	for _, edit := range edits {
		edit(claims)
	}
	compact, err := tokentest.HS256(secret).Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func set(name string, value any) func(map[string]any) {
	return func(claims map[string]any) { claims[name] = value }
}

// post sends a body the way pusher-js does.
func post(h http.Handler, compact, body string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/pusher/auth", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if compact != "" {
		r.Header.Set("Authorization", "Bearer "+compact)
	}
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// formOf is the body of pusher-js: encodeURIComponent of each value.
func formOf(socketID, channel string) string {
	return "socket_id=" + url.QueryEscape(socketID) + "&channel_name=" + url.QueryEscape(channel)
}
