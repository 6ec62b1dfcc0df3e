package main

import (
	"cmp"
	"fmt"
	"slices"
)

// verdict is what a ledger comes to.
type verdict struct {
	messages   int // committed, and not taken back by a restore
	lost       int // of these, neither accepted nor, if poison, parked
	repeated   int // accepted once more under the same number
	again      int // accepted once more in the epoch after a restore
	outOfOrder int
	parked     int
	wrong      []string // what else must never happen
}

// place is a message and its number in one epoch.
type place struct {
	seq int64
	*entry
}

// judge compares what was written with what arrived. parked are the ids of the
// messages that the database says were given up, by room and seq.
func (l *ledger) judge(parked map[string]map[int64]string) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := verdict{repeated: l.repeated, again: l.again, wrong: slices.Clone(l.wrong)}
	given := map[string]int64{} // seq of the parked messages, by id
	for _, seqs := range parked {
		for seq, id := range seqs {
			given[id] = seq
			v.parked++
		}
	}
	for _, e := range l.entries {
		seq, isParked := given[e.id]
		switch {
		case e.state == reverted:
			continue
		case e.state != written && (e.accepted || isParked):
			v.wrong = append(v.wrong, fmt.Sprintf("room %s: message %s was never committed", e.room, e.id))
		case e.state != written:
			continue
		case isParked && !e.poison:
			v.wrong = append(v.wrong, fmt.Sprintf("room %s: seq %d was parked without need", e.room, seq))
		}
		v.messages++
		if !e.accepted && !isParked {
			v.lost++
		}
	}
	for room, s := range l.rooms {
		for i, epoch := range s {
			var refused map[int64]string // belong to the last epoch
			if i == len(s)-1 {
				refused = parked[room]
			}
			places, first := l.places(epoch, refused), int64(1)
			if i > 0 && len(places) > 0 {
				first = places[0].seq // a new epoch may go on from where it likes
			}
			v.outOfOrder += disorder(epoch.arrived, refused, first) + gaps(places, first) + turned(places)
		}
	}
	return v
}

// places are the messages of an epoch by their numbers, accepted or parked.
func (l *ledger) places(n *numbering, parked map[int64]string) (out []place) {
	for id, seq := range n.seqs {
		out = append(out, place{seq, l.entries[id]})
	}
	for seq, id := range parked {
		if e := l.entries[id]; e != nil && n.seqs[id] == 0 {
			out = append(out, place{seq, e})
		}
	}
	slices.SortFunc(out, func(a, b place) int { return cmp.Compare(a.seq, b.seq) })
	return out
}

// disorder counts the first arrivals that did not follow the number before them.
func disorder(arrived []int64, parked map[int64]string, next int64) (n int) {
	for _, seq := range arrived {
		for parked[next] != "" {
			next++
		}
		if seq != next {
			n++
		}
		next = seq + 1
	}
	return n
}

// gaps counts the places where the numbers of an epoch do not follow one another.
func gaps(epoch []place, first int64) (n int) {
	for i, p := range epoch {
		if p.seq != first+int64(i) && (i == 0 || p.seq != epoch[i-1].seq+1) {
			n++
		}
	}
	return n
}

// turned counts the messages that have a lower number than one whose commit was
// known before they were begun, or than one before them in the same transaction.
func turned(epoch []place) (n int) {
	earliest := int64(1) << 62 // end of any message with a higher number
	last := map[int]int{}      // place in each transaction, of the next higher number
	for _, p := range slices.Backward(epoch) {
		inTx, seen := last[p.tx]
		if earliest < p.began || seen && inTx < p.place {
			n++
		}
		earliest = min(earliest, p.ended)
		last[p.tx] = p.place
	}
	return n
}
