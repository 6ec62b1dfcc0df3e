package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"roomcast/shared/web"
)

const right, older = "the-right-secret-of-32-characters", "the-older-secret-of-32-characters"

// door is Secrets with a clock that can be set.
type door struct {
	*web.Secrets
	now time.Time
}

func newDoor() *door {
	d := &door{now: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)}
	d.Secrets = web.NewSecrets([]string{right, older}, web.Addresses{}, func() time.Time { return d.now })
	return d
}

// try is the status that a secret from an address is answered with; 200 if it is right.
func (d *door) try(ip, secret string) int {
	r := httptest.NewRequest("POST", "/", nil)
	r.RemoteAddr = ip + ":1"
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	err := d.Bearer(r)
	var answer *web.Error
	if !errors.As(err, &answer) {
		return http.StatusOK
	}
	if answer.Status == http.StatusTooManyRequests && answer.RetryAfter <= 0 {
		return 0
	}
	return answer.Status
}

func (d *door) want(t *testing.T, ip, secret string, want int) {
	t.Helper()
	if got := d.try(ip, secret); got != want {
		t.Errorf("%s with %q: %d, want %d", ip, secret, got, want)
	}
}

func TestGuessesFromOneAddressAreSlowed(t *testing.T) {
	d := newDoor()
	const guesser, webhook = "203.0.113.7", "203.0.113.8"
	d.want(t, guesser, "", 401) // no guess
	for range 10 {
		d.want(t, guesser, "wrong", 401)
	}
	d.want(t, guesser, right, 429) // not even compared: the next guess could be right
	d.want(t, webhook, right, 200)
	d.want(t, webhook, older, 200)
	d.now = d.now.Add(10 * time.Second)
	d.want(t, guesser, "wrong", 401)
	d.want(t, guesser, "wrong", 429)

	compared := 0 // in an hour of guessing
	for range 3600 {
		d.now = d.now.Add(time.Second)
		if d.try(guesser, "wrong") == 401 {
			compared++
		}
	}
	if compared > 370 {
		t.Errorf("%d guesses were compared in an hour", compared)
	}
}

// Whose address has shown the right secret is not locked out by who shares it.
func TestWhoKnowsTheSecretIsNotLockedOut(t *testing.T) {
	d := newDoor()
	d.want(t, "203.0.113.8", right, 200)
	for range 100 {
		d.try("203.0.113.8", "wrong")
	}
	d.want(t, "203.0.113.8", right, 200)
	d.now = d.now.Add(49 * time.Hour) // that is forgotten
	for range 100 {
		d.try("203.0.113.8", "wrong")
	}
	d.want(t, "203.0.113.8", right, 429)
}

func TestGuessesFromManyAddressesAreSlowed(t *testing.T) {
	d := newDoor()
	address := func(i int) string { return fmt.Sprintf("10.1.%d.%d", i/250, i%250) }
	second := 0
	for i := range 1200 {
		d.want(t, address(i), "wrong", 401) // the first of each
		if d.try(address(i), "wrong") == 401 {
			second++
		}
	}
	if second > 500 { // 1,000 in all
		t.Errorf("%d second guesses were compared", second)
	}
	d.want(t, "203.0.113.8", right, 200) // who was never wrong is compared in any case
}

// A caller without an address, as a platform might leave it out, is one of all.
func TestGuessesWithoutAnAddressAreSlowed(t *testing.T) {
	d, compared := newDoor(), 0
	for range 1500 {
		if d.try("nowhere", "wrong") == 401 {
			compared++
		}
	}
	if compared > 1000 {
		t.Errorf("%d guesses were compared", compared)
	}
}
