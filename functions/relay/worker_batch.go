package relay

import (
	"slices"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// item is one row on its way: an event for each channel of its room.
type item struct {
	room   int // index in the worker's rooms
	seq    int64
	age    time.Duration // between its writing and its arrival here
	events []pusher.Event
	packed int   // index of the one that may share a pack; -1: none may
	joins  bool  // it does: with that of the item before it
	reject error // why it can never be sent, if that is known before trying
	left   bool  // a user left the room, and is to be disconnected behind it
}

// translate makes the item of a row; bare is for one whose content must not be heard. A
// row that is missing, or was published before, becomes an item without events: its seq
// is passed over.
func (w *worker) translate(room int, row outbox.Row, bare bool) item {
	it := item{room: room, seq: row.Seq, age: row.Age, packed: -1}
	if row.Missing {
		return it
	}
	it.left = w.Revoker != nil && row.Change.IsDeparture()
	if row.Seq <= w.progress[room].known {
		return it
	}
	kinds := w.channels.Carriers(row.Change.Room)
	if bare {
		it.events, it.reject = pusher.ForChannels(event.Bare(row.Change), kinds)
	} else {
		it.events, it.reject = pusher.Events(row.Change, kinds, w.limit)
	}
	if len(it.events) > 0 && len(it.events) == len(kinds) { // else the room's name is too long for some
		it.packed = slices.Index(kinds, event.Packed)
	}
	return it
}

// nextBatch builds the next batch: rows of the first room that is not waiting, then of
// the next, until ten events are together; a pack is one. A room that failed travels
// alone, so that it fails alone, and so does the canary.
func (w *worker) nextBatch() []item {
	w.items = w.items[:0]
	var call tally
	for i := w.first; i < len(w.rooms); i++ {
		p := &w.progress[i]
		if w.isDone(i) {
			if i == w.first {
				w.first++
			}
			continue
		}
		alone := p.trouble.Step > 0 || w.isCanary(i)
		if p.over || p.revoking || !p.trouble.Over() || (alone && call.events > 0) {
			continue
		}
		if full := w.takeFrom(i, &call); full || alone && len(w.items) > 0 {
			return w.items
		}
	}
	return w.items
}

// takeFrom adds a room's rows to the batch, as far as its departures allow, and reports
// whether the batch is to be sent as it is.
func (w *worker) takeFrom(i int, call *tally) (full bool) {
	p := &w.progress[i]
	bare := p.failed || w.Revoker != nil && w.Revoker.Held(w.rooms[i].ID)
	together := p.departures
	for _, row := range w.rooms[i].Rows[p.next:] {
		it := w.translate(i, row, bare)
		if !bare && !together.allow(it) {
			return false
		}
		if !call.add(&it) {
			return true
		}
		w.items = append(w.items, it)
		if it.reject != nil {
			return true // what is behind it travels when it is parked
		}
	}
	return false
}

func (w *worker) isCanary(room int) bool { return w.rooms[room].ID == event.CanaryKey }
