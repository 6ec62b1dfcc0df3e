package backoff

import (
	"testing"
	"time"
)

// A wait doubles up to its bound and stays within a quarter of it, however many attempts fail.
func TestSpanIsBounded(t *testing.T) {
	s := Span{First: 100 * time.Millisecond, Most: time.Second}
	for step, want := range map[int]time.Duration{0: s.First, 1: s.First, 2: 2 * s.First, 4: 8 * s.First, 5: s.Most, 29: s.Most, 1000: s.Most} {
		for range 100 {
			if got := s.Wait(step); got < want*3/4 || got > want*5/4 {
				t.Errorf("step %d: waits %v, want %v within a quarter", step, got, want)
			}
		}
	}
}

func TestTimer(t *testing.T) {
	var timer Timer
	if !timer.Over() {
		t.Error("the zero timer waits")
	}
	timer.Fail(Span{First: time.Hour, Most: time.Hour})
	before := timer.Until
	timer.Defer(time.Minute) // sooner: no effect
	if timer.Over() || timer.Step != 1 || timer.Until != before {
		t.Errorf("after a failure: %+v", timer)
	}
	timer.Defer(3 * time.Hour)
	if time.Until(timer.Until) < 2*time.Hour {
		t.Errorf("deferred to %v", timer.Until)
	}
	if timer.Reset(); !timer.Over() {
		t.Error("reset, and still waiting")
	}
}
