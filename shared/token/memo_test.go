package token_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/shared/token"
	"roomcast/shared/token/tokentest"
)

// A good token is known for a moment, in which its key is not asked for again.
func TestKnownForAMoment(t *testing.T) {
	h := newFixture(t)
	compact := sign(t, h.es256, h.claims())
	verify := func(after time.Duration, want error) {
		t.Helper()
		h.clock.Advance(after)
		if c, err := h.verifier.Verify(t.Context(), compact); !errors.Is(err, want) || (err == nil) != (c.UserID == user) {
			t.Errorf("at %v: %v, want %v", h.clock.Now().Sub(start), err, want)
		}
	}
	verify(0, nil)
	if err := h.server.Rotate(h.rs256); err != nil { // the key is gone; the set is fetched again after ten minutes
		t.Fatal(err)
	}
	verify(10*time.Minute-2*time.Second, nil)
	verify(4*time.Second, nil) // known
	verify(4*time.Second, token.ErrUnknownKey)
}

// What a token says of the time is looked at every time, and what was refused is
// refused again.
func TestKnownTokenExpires(t *testing.T) {
	h := newFixture(t)
	compact := sign(t, h.es256, h.claims(set("exp", start.Add(time.Second).Unix()-int64(token.DefaultLeeway/time.Second))))
	for _, want := range []error{nil, nil, token.ErrExpired, token.ErrExpired} {
		if _, err := h.verifier.Verify(t.Context(), compact); !errors.Is(err, want) {
			t.Errorf("at %v: %v, want %v", h.clock.Now().Sub(start), err, want)
		}
		h.clock.Advance(600 * time.Millisecond)
	}
	h.clock.Advance(-time.Hour) // set back: nothing is known any more, and the token good again
	if _, err := h.verifier.Verify(t.Context(), compact); err != nil {
		t.Error(err)
	}
}

// A token that differs in one character is another.
func TestKnownTokenIsKnownWhole(t *testing.T) {
	h := newFixture(t)
	compact := sign(t, h.legacy, h.claims())
	if _, err := h.verifier.Verify(t.Context(), compact); err != nil {
		t.Fatal(err)
	}
	for i, c := range compact {
		other := "A"
		if c == 'A' {
			other = "B"
		}
		if c == '.' || strings.Count(compact[:i], ".") < 2 && i%7 > 0 { // a sample of header and payload, all of the signature
			continue
		}
		if got, err := h.verifier.Verify(t.Context(), compact[:i]+other+compact[i+1:]); err == nil {
			t.Fatalf("changed at %d, it is accepted as %s", i, got.UserID)
		}
	}
}

// Of several with the same token the first is answered for all; if it hangs up while
// the keys are being fetched, only it goes without an answer.
func TestTheFirstHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := must(tokentest.ES256("ec-1"))(t)
		jwk := must(signer.JWK())(t)
		g := &endpoint{body: []byte(`{"keys":[` + string(jwk) + `]}`), asked: make(chan struct{}, 9), open: make(chan struct{}, 9)}
		v := must(token.New(token.Config{SupabaseURL: project, HTTPClient: &http.Client{Transport: g}}))(t)
		fetching := sign(t, signer, tokentest.Claims(project, user, time.Now()))
		same := sign(t, signer, tokentest.Claims(project, user, time.Now()))
		verify := func(ctx context.Context, compact string) chan error {
			done := make(chan error, 1)
			go func() { _, err := v.Verify(ctx, compact); done <- err }()
			synctest.Wait()
			return done
		}
		others := verify(t.Context(), fetching)
		impatient, hangUp := context.WithCancel(t.Context())
		first, second := verify(impatient, same), verify(t.Context(), same)
		hangUp()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the first: %v", err)
		}
		g.open <- struct{}{}
		if err := errors.Join(<-others, <-second); err != nil {
			t.Errorf("those who waited: %v", err)
		}
	})
}
