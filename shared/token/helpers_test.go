package token_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
)

const (
	project = "https://ref.supabase.co"
	user    = "8b9f3c0a-4a1e-4f6e-9d55-1c2f3a4b5c6d"
	secret  = "super-secret-jwt-token-with-at-least-32-characters-long"
)

// start is the moment all tests begin at.
var start = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fixture is one project: its keys, its key set, and a verifier that accepts its
// tokens by either system.
type fixture struct {
	es256, rs256, eddsa, legacy tokentest.Signer

	server   *tokentest.Server
	clock    *clock
	verifier *token.Verifier
}

// rsaSigner is slow to make, and nothing changes it.
var rsaSigner = sync.OnceValues(func() (tokentest.Signer, error) { return tokentest.RS256("rsa-1") })

func newFixture(t testing.TB, options ...func(*token.Config)) *fixture {
	t.Helper()
	h := &fixture{
		es256:  must(tokentest.ES256("ec-1"))(t),
		rs256:  must(rsaSigner())(t),
		eddsa:  must(tokentest.EdDSA("ed-1"))(t),
		legacy: tokentest.HS256(secret),
		clock:  &clock{now: start},
	}
	h.server = must(tokentest.Serve(h.es256, h.rs256, h.eddsa))(t)
	t.Cleanup(h.server.Close)
	cfg := token.Config{SupabaseURL: h.server.URL, JWTSecret: secret, Leeway: token.DefaultLeeway, Clock: h.clock.Now}
	for _, option := range options {
		option(&cfg)
	}
	h.verifier = must(token.New(cfg))(t)
	return h
}

// claims returns a good user's claims, changed by edits.
func (h *fixture) claims(edits ...func(map[string]any)) map[string]any {
	c := tokentest.Claims(h.server.URL, user, h.clock.Now())
	for _, edit := range edits {
		edit(c)
	}
	return c
}

func set(name string, value any) func(map[string]any) {
	return func(c map[string]any) { c[name] = value }
}

func without(name string) func(map[string]any) {
	return func(c map[string]any) { delete(c, name) }
}

func sign(t testing.TB, s tokentest.Signer, claims map[string]any) string {
	t.Helper()
	return must(s.Sign(claims))(t)
}

// must turns a pair of results into one, and an error into the test's end.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// part returns the decoded n-th part of a compact token.
func part(t testing.TB, compact string, n int) string {
	t.Helper()
	return string(must(base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[n]))(t))
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	return string(must(json.Marshal(v))(t))
}
