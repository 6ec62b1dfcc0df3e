package relay

import (
	"cmp"
	"slices"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// load is what one lane gets at once: rooms under lease, each with its next rows.
type load struct {
	rooms    []outbox.Room
	claimed  time.Time // when the rows arrived here
	deadline time.Time // when the lease is no longer to be relied on
}

// deal spreads rooms over at most lanes loads, the longest first onto the
// shortest load, and makes no more loads than there are full batches: short rooms
// travel together.
func deal(rooms []outbox.Room, lanes int) []load {
	total := 0
	for i := range rooms {
		total += len(rooms[i].Rows)
	}
	n := min(lanes, len(rooms), (total+pusher.MaxBatch-1)/pusher.MaxBatch)
	if n <= 1 {
		return []load{{rooms: rooms}}
	}
	slices.SortStableFunc(rooms, func(a, b outbox.Room) int { return cmp.Compare(len(b.Rows), len(a.Rows)) })
	loads, sizes := make([]load, n), make([]int, n)
	for _, room := range rooms {
		least := slices.Index(sizes, slices.Min(sizes))
		loads[least].rooms = append(loads[least].rooms, room)
		sizes[least] += len(room.Rows)
	}
	return loads
}

// item is one row on its way: an event for each channel of its room.
type item struct {
	room   int // index in the lane's rooms
	seq    int64
	age    time.Duration // between its writing and its arrival here
	events []pusher.Event
	packed int   // index of the one that may share a pack; -1: none may
	joins  bool  // it does: with that of the item before it
	reject error // why it can never be sent, if that is known before trying
	left   bool  // a user left the room, and is to be cut off afterwards
}

// translate makes the item of a row. Rows that are missing, or that browsers are
// not told of, become items without events: their seq is passed over.
func (r *Relay) translate(room int, row outbox.Row) item {
	it := item{room: room, seq: row.Seq, age: row.Age, packed: -1}
	if row.Missing {
		return it
	}
	it.left = departs(row.Change)
	kinds := r.channels.Of(row.Change.Room)
	if it.events, it.reject = Events(row.Change, kinds, r.limit); len(it.events) > 0 {
		it.packed = slices.Index(kinds, event.Packed)
	}
	return it
}

// Events makes what is published of a change: one event for each kind of channel of
// its room, in the order of kinds, or none when browsers are not told of it. limit is [DataLimit] of the
// kinds. It is pure: a repeat is the same to the byte, whoever sends it. An error
// means that it can never be sent.
func Events(c event.Change, kinds []event.ChannelKind, limit int) ([]pusher.Event, error) {
	e, ok, err := event.Translate(c, limit)
	if err != nil || !ok {
		return nil, err
	}
	events := make([]pusher.Event, 0, len(kinds))
	for _, kind := range kinds {
		channel, err := event.ChannelName(kind, e.Room)
		if err != nil {
			return nil, err
		}
		events = append(events, pusher.Event{Channel: channel, Name: e.Name, Data: e.Data})
	}
	return events, nil
}

// DataLimit is the largest data that fits every kind of channel.
func DataLimit(kinds []event.ChannelKind) int {
	limit := pusher.MaxData - 1
	for _, kind := range kinds {
		if name, err := event.ChannelName(kind, "-"); err == nil {
			limit = min(limit, pusher.DataLimit(name))
		}
	}
	return limit
}
