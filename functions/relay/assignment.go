package relay

import (
	"cmp"
	"slices"
	"time"

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
