package relay

import (
	"testing"
	"time"
)

// A chat of one message a second is silent for 4.6 s once in a hundred times: what comes
// then must not wait for a slow poll. And what has been silent for long costs little.
func TestPollsWidenSlowly(t *testing.T) {
	if at := pollAfter(4600*time.Millisecond, quickWait); at > 7*time.Millisecond {
		t.Errorf("after 4.6 s of silence a poll comes only after %v", at)
	}
	var checks int
	before := time.Duration(0)
	for quiet := time.Second; quiet < 13*time.Second; checks++ {
		pause := pollAfter(quiet, quickWait)
		if pause < before {
			t.Errorf("after %v polls come quicker again", quiet)
		}
		before = pause
		quiet += pause
	}
	if checks > 1300 { // half a percent of a core, at 50 µs each
		t.Errorf("%d checks in 12 s of silence", checks)
	}
	if at := pollAfter(time.Hour, quickWait); at != slowPoll {
		t.Errorf("after an hour: %v", at)
	}
}
