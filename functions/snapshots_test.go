package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"roomcast/shared/admin"
	"roomcast/shared/metrics"
)

// Scrapes name the oldest holder of each kind, ask the database once in a while, and not at
// all while the relay sleeps.
func TestHoldersInAScrape(t *testing.T) {
	asked, awake := 0, true
	var fault error
	list := []admin.Holder{
		{Kind: "session", Who: "the yearly report", Age: time.Hour, PID: 7},
		{Kind: "session", Who: "pg_dump", Age: time.Minute},
		{Kind: "slot", Who: "standby_1", Age: 2 * time.Minute},
	}
	h := &snapshotGauge{ask: func(_ context.Context, older time.Duration) ([]admin.Holder, error) {
		if older != holdersOld {
			t.Errorf("asked for %s", older)
		}
		asked++
		return list, fault
	}}
	o := &observations{Registry: metrics.New()}
	o.watchSnapshots(func() bool { return awake }, h)
	want := func(lines ...string) {
		t.Helper()
		var text strings.Builder
		if err := o.Write(&text); err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(text.String(), " gauge\n")
		if got != strings.Join(lines, "") {
			t.Errorf("scraped\n%swant\n%s", got, strings.Join(lines, ""))
		}
	}
	const name = "roomcast_oldest_snapshot_seconds"
	for range 3 {
		want(name+`{kind="session",who="the yearly report"} 3600`+"\n", name+`{kind="slot",who="standby_1"} 120`+"\n")
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	again := func() { h.reading.at = h.reading.at.Add(-holdersFresh - time.Second) }
	again()
	list = nil
	want(name + `{kind="none",who=""} 0` + "\n")
	again()
	fault = errors.New("away")
	want()
	awake = false
	again()
	want()
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}
