package main

import (
	"context"
	"testing"

	"roomcast/shared/admin"
)

// An event that is parked while the backlog is read is not counted twice for long.
func TestParkedWhileTheBacklogIsRead(t *testing.T) {
	asked := 0
	g := &backlogGauge{ask: func(context.Context) (admin.Backlog, error) {
		asked++
		return admin.Backlog{Parked: 1}, nil
	}}
	g.read() // has seen it already
	g.parked()
	if !g.isStale() {
		t.Fatal("nobody reads again")
	}
	g.read()
	g.read()
	if b, _ := g.latest(); b.Parked != 1 || asked != 2 || g.isStale() {
		t.Errorf("%d events are parked after %d reads, want 1 after 2", b.Parked, asked)
	}
}
