package relay

import (
	"log/slog"
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

// Claims are bounded by their number, by the rows and by the bytes that they and the workers
// hold, and one comes beside another only while there is a backlog.
func TestClaimsAtOnceAreBounded(t *testing.T) {
	const rows = 4000
	for name, tc := range map[string]struct {
		asking, rows, bytes, brought int
		full, may                    bool
	}{
		"the first":                           {may: true},
		"beside workers that have little":     {rows: rows, bytes: maxBytes, may: true},
		"beside workers that have enough":     {rows: rows + 1},
		"beside records of many bytes":        {bytes: maxBytes + 1},
		"beside another, nothing left behind": {asking: 1},
		"beside another, of a backlog":        {asking: 1, full: true, may: true},
		"beside another that may be large":    {asking: 1, full: true, bytes: maxBytes - claimBytes + 1},
		"beside another like a larger one":    {asking: 1, full: true, brought: maxBytes + 1},
		"beside another and a worker's row":   {asking: 1, full: true, rows: 1},
		"beside two":                          {asking: 2, full: true},
	} {
		l := newLoop(New(Config{Log: slog.New(slog.DiscardHandler)}))
		l.Claim.Rows = rows
		l.asking, l.rows, l.bytes, l.brought, l.full = tc.asking, tc.rows, tc.bytes, tc.brought, tc.full
		if _, at := l.allowance(); time.Now().Before(at) == tc.may {
			t.Errorf("%s: a claim may come: %v", name, !tc.may)
		}
	}
}
