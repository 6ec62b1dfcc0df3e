package relay

import (
	"cmp"
	"slices"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// assignment is what one worker gets at once: rooms under lease, each with its next rows.
type assignment struct {
	rooms    []outbox.Room
	claimed  time.Time // when the rows arrived here
	deadline time.Time // when the lease is no longer to be relied on
}

// assign spreads rooms over at most workers assignments, the longest room first onto the
// shortest assignment. It makes no more assignments than there are full batches, so
// that short rooms travel together.
func assign(rooms []outbox.Room, workers int) []assignment {
	total := 0
	for i := range rooms {
		total += len(rooms[i].Rows)
	}
	n := min(workers, len(rooms), (total+pusher.MaxBatch-1)/pusher.MaxBatch)
	if n <= 1 {
		return []assignment{{rooms: rooms}}
	}
	slices.SortStableFunc(rooms, func(a, b outbox.Room) int { return cmp.Compare(len(b.Rows), len(a.Rows)) })
	assignments, sizes := make([]assignment, n), make([]int, n)
	for _, room := range rooms {
		least := slices.Index(sizes, slices.Min(sizes))
		assignments[least].rooms = append(assignments[least].rooms, room)
		sizes[least] += len(room.Rows)
	}
	return assignments
}

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
