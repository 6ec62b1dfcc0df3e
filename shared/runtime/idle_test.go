package runtime

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// idleAfter runs the loop that serve runs around an idle and returns when it
// found the process idle, counted from its start.
func idleAfter(i *idle) time.Duration {
	start := time.Now()
	due, reset, stop := i.timer()
	defer stop()
	for range due {
		again, done := i.check()
		if done {
			break
		}
		reset(again)
	}
	return time.Since(start)
}

func never() bool { return false }

func TestIdleAfterExactlyTheLimitWithoutWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := idleAfter(newIdle(5*time.Minute, never)); got != 5*time.Minute {
			t.Errorf("idle after %v", got)
		}
	})
}

// A request is work from the moment it has shown a credential; what strangers ask is
// none, however often and long.
func TestOnlyRequestsWithACredentialAreWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIdle(5*time.Minute, never)
		cs := newConns(nil, 10, i)
		h := cs.track(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/stranger" {
				Working(r.Context())
				Working(r.Context()) // once more is once
			}
			if r.URL.Path != "/quick" {
				time.Sleep(time.Hour) // the bubble's clock
			}
		}))
		serve := func(path string) {
			r := httptest.NewRequest("GET", path, nil)
			h.ServeHTTP(httptest.NewRecorder(), r.WithContext(cs.context(r.Context(), &conn{all: cs})))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(time.Minute)
			serve("/slow") // from 1 min to 61 min
			time.Sleep(4 * time.Minute)
			serve("/quick") // at 65 min: the last work
			time.Sleep(time.Minute)
			serve("/stranger")
		}()
		if got := idleAfter(i); got != 70*time.Minute {
			t.Errorf("idle after %v, want 5m after the last work at 65m", got)
		}
		<-done
	})
}

func TestBusyWorkerIsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, worked = 4 * time.Minute, 90*time.Minute + 17*time.Second
		var busy atomic.Bool
		busy.Store(true)
		time.AfterFunc(worked, func() { busy.Store(false) })
		got := idleAfter(newIdle(limit, busy.Load))
		if got < worked+limit || got > worked+limit+limit/4 {
			t.Errorf("idle after %v, want within a minute after %v", got, worked+limit)
		}
	})
}

func TestAWorkerIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		i := newIdle(time.Hour, func() bool { asked++; return false })
		idleAfter(i)
		if asked > 4 {
			t.Errorf("asked %d times in one limit", asked)
		}
	})
}

func TestZeroLimitIsNeverIdle(t *testing.T) {
	due, _, stop := newIdle(0, never).timer()
	defer stop()
	if due != nil {
		t.Error("a timer runs")
	}
}
