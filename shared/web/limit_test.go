package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

type limited struct {
	*testing.T
	now     time.Time
	limiter *Limiter
	handler http.Handler
}

func newLimited(t *testing.T, rate, burst float64) *limited {
	l := &limited{T: t, now: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)}
	l.limiter = NewLimiter(rate, burst, Addresses{Fly: true}, func() time.Time { return l.now })
	l.handler = Handle(slog.New(slog.DiscardHandler), "x", func(http.ResponseWriter, *http.Request) error { return nil }, Limit(l.limiter))
	return l
}

func (l *limited) ask(ip string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/x", nil)
	r.Header.Set("Fly-Client-IP", ip)
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, r)
	return w
}

func TestLimiter(t *testing.T) {
	l := newLimited(t, 0.5, 3)
	for i, ip := range []string{"203.0.113.7", "::ffff:203.0.113.7", "203.0.113.7"} {
		if w := l.ask(ip); w.Code != 200 {
			t.Errorf("request %d answered %d", i, w.Code)
		}
	}
	w := l.ask("203.0.113.7")
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "2" {
		t.Errorf("beyond the burst: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	if w := l.ask("203.0.113.8"); w.Code != 200 {
		t.Errorf("a neighbour is answered %d", w.Code)
	}
	l.now = l.now.Add(2 * time.Second)
	if a, b := l.ask("203.0.113.7").Code, l.ask("203.0.113.7").Code; a != 200 || b != 429 {
		t.Errorf("after one token's time: %d, then %d", a, b)
	}
	l.now = l.now.Add(-time.Hour) // a clock set back takes nothing away
	if w := l.ask("203.0.113.8"); w.Code != 200 {
		t.Errorf("after the clock was set back: %d", w.Code)
	}
}

// An IPv6 line has more addresses than there are buckets.
func TestLimiterTakesALineForOneCaller(t *testing.T) {
	l := newLimited(t, 1, 2)
	codes := []int{l.ask("2001:db8:1:2::1").Code, l.ask("2001:db8:1:2:ffff::9").Code, l.ask("2001:db8:1:2::3").Code, l.ask("2001:db8:1:3::1").Code}
	if want := []int{200, 200, 429, 200}; fmt.Sprint(codes) != fmt.Sprint(want) {
		t.Errorf("answers %v, want %v", codes, want)
	}
}

func TestLimiterOff(t *testing.T) {
	l := newLimited(t, 0, 0)
	for range 100 {
		if w := l.ask("203.0.113.7"); w.Code != 200 {
			t.Fatalf("answered %d", w.Code)
		}
	}
}

func TestLimiterMemoryIsBounded(t *testing.T) {
	l := newLimited(t, 1, 2)
	take := func(n, from int) {
		for i := range n {
			l.limiter.take(fmt.Sprintf("10.%d.%d.%d", (from+i)>>16&255, (from+i)>>8&255, (from+i)&255))
		}
	}
	take(maxBuckets, 0)
	l.now = l.now.Add(time.Minute)
	take(10, maxBuckets) // those that are full again go
	if n := len(l.limiter.buckets); n != 10 {
		t.Errorf("%d addresses are known, want 10", n)
	}
	take(3*maxBuckets, maxBuckets)
	if n := len(l.limiter.buckets); n > maxBuckets {
		t.Errorf("%d addresses are known, more than %d", n, maxBuckets)
	}
}

func TestLimiterWithoutAnAddress(t *testing.T) {
	l := newLimited(t, 1, 1)
	for range 3 {
		if wait := l.limiter.take(""); wait != 0 {
			t.Errorf("a caller without an address waits %v", wait)
		}
	}
}
