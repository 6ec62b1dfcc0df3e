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
	look, reset, stop := i.timer()
	defer stop()
	for range look {
		again, done := i.look()
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

func TestRequestsAreWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIdle(5*time.Minute, never)
		h := i.track([]string{"/healthz"}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				time.Sleep(time.Hour) // the bubble's clock
			}
		}))
		serve := func(path string) {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}
		go func() {
			time.Sleep(time.Minute)
			serve("/slow") // from 1 min to 61 min
			time.Sleep(4 * time.Minute)
			serve("/quick") // at 65 min: the last work
			time.Sleep(4 * time.Minute)
			serve("/healthz")
		}()
		if got := idleAfter(i); got != 70*time.Minute {
			t.Errorf("idle after %v, want 5m after the last request at 65m", got)
		}
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
	look, _, stop := newIdle(0, never).timer()
	defer stop()
	if look != nil {
		t.Error("a timer runs")
	}
}

func TestResumeIsTheWallClockGaining(t *testing.T) {
	day := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	type reading struct{ wall, mono time.Duration }
	for _, tc := range []struct {
		name     string
		readings []reading
		want     []time.Duration
	}{
		{"both clocks run", []reading{{time.Hour, time.Hour}, {2 * time.Hour, 2 * time.Hour}}, nil},
		{"clock discipline", []reading{{time.Hour + time.Second, time.Hour}}, nil},
		{"set back", []reading{{-time.Hour, time.Minute}}, nil},
		{"suspended once", []reading{{time.Hour, time.Minute}, {time.Hour + time.Second, time.Minute + time.Second}}, []time.Duration{59 * time.Minute}},
		{"suspended twice", []reading{{time.Hour, 0}, {2 * time.Hour, 0}}, []time.Duration{time.Hour, time.Hour}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []time.Duration
			rs := &resume{notify: func(gap time.Duration) { got = append(got, gap) }, wall: day}
			for _, r := range tc.readings {
				rs.look(day.Add(r.wall), r.mono)
			}
			if len(got) != len(tc.want) {
				t.Fatalf("notified %v, want %v", got, tc.want)
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Errorf("notified %v, want %v", got, tc.want)
				}
			}
		})
	}
}

func TestNoResumeWithoutSuspension(t *testing.T) {
	rs := newResume(func(gap time.Duration) { t.Errorf("resumed after %v", gap) })
	served := 0
	h := rs.watch(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
	if served != 3 {
		t.Errorf("served %d", served)
	}
}
