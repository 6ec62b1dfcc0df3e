package relay

import (
	"testing"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
)

// What is tried again counts from when it was first read, so that many who left at once
// need be disconnected once, in however many tries; what is new counts from now.
func TestDeparturesCountFromTheirFirstReading(t *testing.T) {
	h := newHeldRooms()
	room := outbox.Room{ID: "r", Rows: []outbox.Row{{Seq: 4, Change: event.Change{Position: &event.Position{Seq: 4, Epoch: "e"}}}}}
	other := outbox.Room{ID: "r", Rows: []outbox.Row{{Seq: 4, Change: event.Change{Position: &event.Position{Seq: 4, Epoch: "f"}}}}}
	left := func(seqs ...int64) (out []access.Departure) {
		for _, seq := range seqs {
			out = append(out, access.Departure{Room: "r", Seq: seq})
		}
		return out
	}
	first := time.Now()
	again := first.Add(time.Second)
	if got := h.since(room, left(4), first); !got.Equal(first) {
		t.Errorf("never tried: since %v", got)
	}
	for n := range 3 {
		if step := h.fail(room, left(4, 5), first.Add(time.Duration(n)*time.Second)); step != n+1 {
			t.Errorf("failure %d is counted as %d", n+1, step)
		}
	}
	for name, tc := range map[string]struct {
		room outbox.Room
		left []access.Departure
		want time.Time
	}{
		"the same": {room, left(4, 5), first}, "some of them": {room, left(4), first}, "one more": {room, left(4, 5, 6), again}, "another epoch": {other, left(4), again},
	} {
		if got := h.since(tc.room, tc.left, again); !got.Equal(tc.want) {
			t.Errorf("%s: since %v later", name, got.Sub(first))
		}
	}
	h.forget("r")
	if got := h.since(room, left(4), again); !got.Equal(again) {
		t.Error("confirmed, and still remembered")
	}
	if n := h.knows(room); n != 0 {
		t.Errorf("rows up to %d are taken for published", n)
	}
	p := &progress{accepted: 7, sent: 3}
	h.note(room, p)
	if h.knows(room) != 7 || h.knows(other) != 0 {
		t.Errorf("published up to %d, of another epoch %d", h.knows(room), h.knows(other))
	}
}
