package relay

import (
	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

// Packing: Pusher takes ten events in a call and counts each, and order allows one
// call of a room at a time. So in a packed channel the rows that are in one call
// share events, in order, each filled as far as the channel's limit allows. Nothing
// waits for company: what shares is what piled up while the last call was under way,
// or before. Each row is still acked, put off or parked by itself.

// tally counts, row after row, what one call to Pusher takes.
type tally struct {
	events int // a pack is one
	room   int // of the last packed event, an index as in item
	size   int // that event's bytes if it were a pack by now; 0: there is none
}

// add counts a row in, and notes whether its packed event joins that of the row
// before it: of the same room, where both fit. It reports false, and changes nothing,
// if that would be more than [pusher.MaxBatch] events.
func (t *tally) add(it *item) bool {
	next := *t
	next.events += len(it.events)
	joins := false
	if it.packed >= 0 {
		e := it.events[it.packed]
		size := event.PackSize(t.size, e.Name, e.Data)
		if joins = t.size > 0 && t.room == it.room && size <= pusher.DataLimit(e.Channel); joins {
			next.events--
		} else {
			size = event.PackSize(0, e.Name, e.Data)
		}
		next.room, next.size = it.room, size
	}
	if next.events > pusher.MaxBatch {
		return false
	}
	*t, it.joins = next, joins
	return true
}

// appendEvents appends the events of a batch. It goes by what [tally.add] noted, so
// that a part of a batch shares no more than the whole did: it needs no more events,
// and none is larger. An event that nothing joins is left as it is.
func appendEvents(events []pusher.Event, batch []item) []pusher.Event {
	last := -1 // index of the packed event that the next may join
	for i := range batch {
		it := &batch[i]
		for k, e := range it.events {
			if k == it.packed && it.joins && last >= 0 {
				events[last] = pack(events[last], e)
				continue
			}
			if k == it.packed {
				last = len(events)
			}
			events = append(events, e)
		}
	}
	return events
}

// pack returns an event that holds both, where the first may be a pack already,
// whose memory is reused.
func pack(first, e pusher.Event) pusher.Event {
	if first.Name != event.Pack {
		first.Data = event.AppendPack(nil, first.Name, first.Data)
		first.Name = event.Pack
	}
	first.Data = event.AppendPack(first.Data, e.Name, e.Data)
	return first
}
