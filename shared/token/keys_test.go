package token_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
)

// expect verifies a token and compares the outcome and the number of fetches.
func (h *fixture) expect(t *testing.T, compact string, want error, requests int) {
	t.Helper()
	if _, err := h.verifier.Verify(t.Context(), compact); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if got := h.server.Requests(); got != requests {
		t.Errorf("%d fetches, want %d", got, requests)
	}
}

func TestKeysAreFetchedLazily(t *testing.T) {
	h := newFixture(t)
	h.expect(t, "no token", token.ErrMalformed, 0)
	h.expect(t, sign(t, h.legacy, h.claims()), nil, 0)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 1)

	h.clock.Advance(10*time.Minute - time.Second)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 1)
	h.clock.Advance(time.Second)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)
}

func TestKeyRotation(t *testing.T) {
	h := newFixture(t)
	next := must(tokentest.ES256("ec-2"))(t)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 1)

	// A standby key is published, then used: its kid is asked for at once, but
	// no more than once a minute.
	if err := h.server.Rotate(h.es256, next); err != nil {
		t.Fatal(err)
	}
	h.expect(t, sign(t, next, h.claims()), token.ErrUnknownKey, 1)
	h.clock.Advance(time.Minute)
	h.expect(t, sign(t, next, h.claims()), nil, 2)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)

	// The old key is revoked: it counts until the set is next fetched.
	if err := h.server.Rotate(next); err != nil {
		t.Fatal(err)
	}
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)
	h.clock.Advance(10 * time.Minute)
	h.expect(t, sign(t, h.es256, h.claims()), token.ErrUnknownKey, 3)
}

func TestUnknownKeysAreAskedForOnceAMinute(t *testing.T) {
	h := newFixture(t)
	forged := sign(t, h.es256.WithKID("invented"), h.claims())
	h.expect(t, forged, token.ErrUnknownKey, 1)
	for range 59 {
		h.clock.Advance(time.Second)
		h.expect(t, forged, token.ErrUnknownKey, 1)
	}
	h.clock.Advance(time.Second)
	h.expect(t, forged, token.ErrUnknownKey, 2)
	// A token of a known key is verified meanwhile.
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)
}

func TestStaleKeysServeWhileTheEndpointIsDown(t *testing.T) {
	h := newFixture(t)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 1)
	h.server.Fail(http.StatusBadGateway)

	h.clock.Advance(10 * time.Minute)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2) // left alone for a minute
	h.clock.Advance(time.Minute)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 3)
	// A key we do not have may be a new one: not known is not refused.
	h.expect(t, sign(t, h.es256.WithKID("new"), h.claims()), token.ErrKeysUnavailable, 3)

	h.clock.Advance(24 * time.Hour)
	h.expect(t, sign(t, h.es256, h.claims()), token.ErrKeysUnavailable, 4)
	h.server.Fail(http.StatusOK)
	h.clock.Advance(time.Minute)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 5)
}

func TestColdStartWhileTheEndpointIsDown(t *testing.T) {
	h := newFixture(t)
	h.server.Fail(http.StatusServiceUnavailable)
	h.expect(t, sign(t, h.es256, h.claims()), token.ErrKeysUnavailable, 1)
	h.expect(t, sign(t, h.es256, h.claims()), token.ErrKeysUnavailable, 1)
	h.expect(t, sign(t, h.legacy, h.claims()), nil, 1) // needs no set

	h.server.Fail(http.StatusOK)
	h.clock.Advance(token.RetryAfter)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)
}

// A machine resumed from suspend may first run late, then be set right; or its
// clock may be set back. Neither may pin old keys or block a fetch.
func TestClockSetBack(t *testing.T) {
	h := newFixture(t)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 1)
	h.clock.Advance(-3 * time.Hour)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)
	h.expect(t, sign(t, h.es256, h.claims()), nil, 2)
}

func TestOneFetchForManyCallers(t *testing.T) {
	h := newFixture(t)
	release := h.server.Hold()
	defer release()
	compact := sign(t, h.es256, h.claims())

	var wg sync.WaitGroup
	errs := make(chan error, 50)
	for range cap(errs) {
		wg.Go(func() {
			_, err := h.verifier.Verify(t.Context(), compact)
			errs <- err
		})
	}
	release()
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if n := h.server.Requests(); n != 1 {
		t.Errorf("%d fetches, want 1", n)
	}
}

// endpoint is one that answers when told to.
type endpoint struct {
	body  []byte
	asked chan struct{}
	open  chan struct{}
}

func (g *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	g.asked <- struct{}{}
	select {
	case <-g.open:
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(g.body)), Request: r}, nil
}

// During a fetch: who has a usable key goes on after a moment, who has none waits, and the
// first caller's leaving does not spoil it for the others.
func TestCallersDuringAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := must(tokentest.ES256("ec-1"))(t)
		jwk := must(signer.JWK())(t)
		g := &endpoint{body: []byte(`{"keys":[` + string(jwk) + `]}`), asked: make(chan struct{}, 9), open: make(chan struct{}, 9)}
		v := must(token.New(token.Config{SupabaseURL: project, HTTPClient: &http.Client{Transport: g}}))(t)
		// In a bubble time.Now is the bubble's clock.
		mint := func() string { return sign(t, signer, tokentest.Claims(project, user, time.Now())) }
		verify := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			compact := mint()
			go func() { _, err := v.Verify(ctx, compact); done <- err }()
			synctest.Wait()
			return done
		}

		first, leave := context.WithCancel(t.Context())
		leader := verify(first)
		impatient, giveUp := context.WithCancel(t.Context())
		quitter, follower := verify(impatient), verify(t.Context())
		giveUp()
		if err := <-quitter; !errors.Is(err, token.ErrKeysUnavailable) || !errors.Is(err, context.Canceled) {
			t.Errorf("gave up: %v", err)
		}
		leave()
		if err := <-leader; !errors.Is(err, context.Canceled) {
			t.Errorf("left: %v", err)
		}
		g.open <- struct{}{}
		if err := <-follower; err != nil {
			t.Errorf("after the fetch: %v", err)
		}

		// Ten minutes later the keys are to be asked for again, and the endpoint hangs:
		// a caller who has a key waits for a moment and goes on with it.
		time.Sleep(10 * time.Minute)
		before := time.Now()
		asking, other := verify(t.Context()), verify(t.Context())
		if err := errors.Join(<-asking, <-other); err != nil {
			t.Errorf("with a key of ten minutes: %v", err)
		}
		if waited := time.Since(before); waited != 500*time.Millisecond {
			t.Errorf("went on after %v, want 500ms", waited)
		}
		if n := len(g.asked); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		// The endpoint is given up after four seconds, and left alone for a minute.
		time.Sleep(4 * time.Second)
		before = time.Now()
		if err := <-verify(t.Context()); err != nil || time.Since(before) != 0 {
			t.Errorf("after the fetch has failed: %v, waited %v", err, time.Since(before))
		}
		if n := len(g.asked); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

func TestKeySetBodies(t *testing.T) {
	es := must(tokentest.ES256("ec-1"))(t)
	good := string(must(es.JWK())(t))
	with := func(name string, value any) string {
		var m map[string]any
		if err := json.Unmarshal([]byte(good), &m); err != nil {
			t.Fatal(err)
		}
		if m[name] = value; value == nil {
			delete(m, name)
		}
		return marshal(t, m)
	}
	oct := `{"kty":"oct","kid":"ec-1","alg":"ES256","k":"c2VjcmV0"}`
	tests := []struct {
		name, body string
		want       error
	}{
		{"one key", `{"keys":[` + good + `]}`, nil},
		{"a kind of key from tomorrow beside it", `{"keys":[{"kty":"AKP","kid":"pq","alg":"ML-DSA-65"},7,null,` + good + `]}`, nil},
		{"no alg: it follows from the curve", `{"keys":[` + with("alg", nil) + `]}`, nil},
		{"no use, no key_ops", `{"keys":[` + with("use", nil) + `]}`, nil},
		{"two under one kid: the first", `{"keys":[` + good + `,` + string(must(must(tokentest.ES256("ec-1"))(t).JWK())(t)) + `]}`, nil},
		{"none: a project with the legacy secret", `{"keys":[]}`, token.ErrUnknownKey},
		{"alg of another kind", `{"keys":[` + with("alg", "RS256") + `]}`, token.ErrUnknownKey},
		{"alg HS256 on a public key", `{"keys":[` + with("alg", "HS256") + `]}`, token.ErrUnknownKey},
		{"for encryption", `{"keys":[` + with("use", "enc") + `]}`, token.ErrUnknownKey},
		{"not for verifying", `{"keys":[` + with("key_ops", []string{"encrypt"}) + `]}`, token.ErrUnknownKey},
		{"no kid", `{"keys":[` + with("kid", nil) + `]}`, token.ErrUnknownKey},
		{"off the curve", `{"keys":[` + with("y", "AAAA") + `]}`, token.ErrUnknownKey},
		{"another curve", `{"keys":[` + with("crv", "P-384") + `]}`, token.ErrUnknownKey},
		{"symmetric", `{"keys":[` + oct + `]}`, token.ErrUnknownKey},
		{"small RSA", `{"keys":[{"kty":"RSA","kid":"ec-1","e":"AQAB","n":"` + strings.Repeat("_", 171) + `"}]}`, token.ErrUnknownKey},
		{"not a set", `{}`, token.ErrKeysUnavailable},
		{"a page", `<!doctype html>`, token.ErrKeysUnavailable},
		{"empty", ``, token.ErrKeysUnavailable},
		{"endless", `{"keys":[` + good + `]}` + strings.Repeat(" ", 64<<10), token.ErrKeysUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFixture(t)
			h.server.Publish([]byte(tt.body))
			h.expect(t, sign(t, es, h.claims()), tt.want, 1)
		})
	}
}

func TestCheck(t *testing.T) {
	h := newFixture(t, func(c *token.Config) { c.JWTSecret = "" })
	check := func(want error) {
		t.Helper()
		if err := h.verifier.Check(t.Context()); !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	check(nil)
	h.server.Fail(http.StatusNotFound)
	check(token.ErrKeysUnavailable)
	h.server.Fail(http.StatusFound) // a redirect is not followed
	check(token.ErrKeysUnavailable)
	h.server.Fail(http.StatusOK)
	if err := h.server.Rotate(); err != nil {
		t.Fatal(err)
	}
	check(token.ErrKeysUnavailable) // nobody could sign in
	if n := h.server.Requests(); n != 4 {
		t.Errorf("%d requests, want 4", n)
	}
	// The doctor's questions are not the cache's.
	h.expect(t, sign(t, h.es256, h.claims()), token.ErrUnknownKey, 5)
}

// A key set without an end, however much of it comes, is read as far as a key set goes.
func TestEndlessKeySet(t *testing.T) {
	endless := &endless{}
	verifier, err := token.New(token.Config{SupabaseURL: project, HTTPClient: &http.Client{Transport: endless}})
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Check(t.Context()); !errors.Is(err, token.ErrKeysUnavailable) {
		t.Errorf("%v", err)
	}
	if endless.read > 1<<20 {
		t.Errorf("%d bytes were read", endless.read)
	}
}

// endless answers with blanks, a hundred megabytes of them.
type endless struct{ read int }

func (e *endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(e)}, nil
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read > 100<<20 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}
