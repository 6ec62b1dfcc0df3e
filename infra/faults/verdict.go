package main

import (
	"cmp"
	"fmt"
	"slices"
)

// verdict is what a ledger comes to.
type verdict struct {
	messages   int // committed
	lost       int // of these, neither accepted nor, if poison, parked
	repeated   int // accepted once more
	outOfOrder int
	parked     int
	wrong      []string // what else must never happen
}

// judge compares what was written with what arrived. parked are the ids of the
// messages that the database says were given up, by room and seq.
func (l *ledger) judge(parked map[string]map[int64]string) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := verdict{repeated: l.repeated, wrong: slices.Clone(l.wrong)}
	given := map[string]int64{} // seq of the parked messages, by id
	for _, seqs := range parked {
		for seq, id := range seqs {
			given[id] = seq
			v.parked++
		}
	}
	byRoom := map[string][]*entry{}
	for _, e := range l.entries {
		seq, isParked := given[e.id]
		switch {
		case e.state != written && (e.seq != 0 || isParked):
			v.wrong = append(v.wrong, fmt.Sprintf("room %s: seq %d was never committed", e.room, max(e.seq, seq)))
		case e.state != written:
			continue
		case isParked && !e.poison:
			v.wrong = append(v.wrong, fmt.Sprintf("room %s: seq %d was parked without need", e.room, seq))
		}
		v.messages++
		if e.seq == 0 && !isParked {
			v.lost++
			continue
		}
		if e.seq == 0 {
			e.seq = seq
		}
		byRoom[e.room] = append(byRoom[e.room], e)
	}
	for room, s := range l.rooms {
		v.outOfOrder += disorder(s.arrived, parked[room])
		v.outOfOrder += gaps(byRoom[room])
		v.outOfOrder += turned(byRoom[room])
	}
	return v
}

// disorder counts the first arrivals that did not follow the number before them.
func disorder(arrived []int64, parked map[int64]string) (n int) {
	next := int64(1)
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

// gaps counts the places where a room's numbers are not 1, 2, 3… It sorts.
func gaps(room []*entry) (n int) {
	slices.SortFunc(room, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
	for i, e := range room {
		if e.seq != int64(i+1) && (i == 0 || e.seq != room[i-1].seq+1) {
			n++
		}
	}
	return n
}

// turned counts the messages that have a lower number than one whose commit was
// known before they were begun, or than one before them in the same transaction.
// The room is sorted by number.
func turned(room []*entry) (n int) {
	earliest := int64(1) << 62 // end of any message with a higher number
	last := map[int]int{}      // place in each transaction, of the next higher number
	for _, e := range slices.Backward(room) {
		place, seen := last[e.tx]
		if earliest < e.began || seen && place < e.place {
			n++
		}
		earliest = min(earliest, e.ended)
		last[e.tx] = e.place
	}
	return n
}
