package main

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sync"
)

// state is what a writer knows of its message.
type state int

const (
	open     state = iota
	written        // the commit was acknowledged
	unknown        // the connection broke at the commit: looked up at the end
	undone         // rolled back, or the connection broke before the commit
	reverted       // committed, and taken back when the database was restored
)

// entry is one message in the ledger.
type entry struct {
	id, room     string
	tx, place    int   // the transaction and the place in it
	began, ended int64 // by the ledger's clock: before the insert, after the commit
	state        state
	poison       bool // Pusher refuses it: it is to be parked
	accepted     bool // Pusher has it, under whatever number
}

// stream is what Pusher has accepted of one room: in one epoch, or in one more for each
// restore of the database.
type stream []*numbering

// numbering is a room's numbers in one epoch.
type numbering struct {
	epoch   string
	arrived []int64           // the first arrival of each seq
	sent    map[int64]arrival // by seq
	seqs    map[string]int64  // by the message's id
}

type arrival struct {
	id   string
	data uint64 // hash
}

// ledger is kept by writers on one side and by the emulator on the other, and never
// asks the database.
type ledger struct {
	seed maphash.Seed

	mu       sync.Mutex
	clock    int64 // counts beginnings and ends
	txs      int
	entries  map[string]*entry
	rooms    map[string]stream
	restores int // of the database, so far: each may begin another epoch
	// restoredAt is the clock at the last one.
	restoredAt int64
	repeated   int
	again      int      // accepted once more in a later epoch
	wrong      []string // what must never happen, in words
	hook       func(room string)
}

func newLedger(rooms []string) *ledger {
	l := &ledger{seed: maphash.MakeSeed(), entries: map[string]*entry{}, rooms: map[string]stream{}}
	for _, room := range rooms {
		l.rooms[room] = nil
	}
	return l
}

// transaction numbers a transaction that begins.
func (l *ledger) transaction() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.txs++
	return l.txs
}

// begin notes a message before it is written.
func (l *ledger) begin(e entry) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	e.began = l.clock
	l.entries[e.id] = &e
	return &e
}

// end notes how the transaction of some messages ended.
func (l *ledger) end(entries []*entry, s state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	for _, e := range entries {
		e.state, e.ended = s, l.clock
	}
}

// accept notes what Pusher has accepted. A room of an earlier fault is passed over.
func (l *ledger) accept(room, data string) {
	var d struct {
		ID       string
		Roomcast struct {
			Seq   int64
			Epoch string
		}
	}
	err := json.Unmarshal([]byte(data), &d)
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known := l.rooms[room]
	if !known {
		return
	}
	if l.hook != nil {
		l.hook(room)
	}
	if err != nil {
		l.complain("an event's data is not JSON: %v", err)
		return
	}
	if len(s) == 0 || s[len(s)-1].epoch != d.Roomcast.Epoch {
		if len(s) > l.restores {
			l.complain("room %s: the epoch changed", room)
		}
		s = append(s, &numbering{epoch: d.Roomcast.Epoch, sent: map[int64]arrival{}, seqs: map[string]int64{}})
		l.rooms[room] = s
	}
	l.arrive(s[len(s)-1], room, d.Roomcast.Seq, arrival{d.ID, maphash.String(l.seed, data)})
}

func (l *ledger) arrive(s *numbering, room string, seq int64, a arrival) {
	if before, repeat := s.sent[seq]; repeat {
		l.repeated++
		if before != a {
			l.complain("room %s: seq %d was repeated with other data", room, seq)
		}
		return
	}
	s.sent[seq] = a
	s.arrived = append(s.arrived, seq)
	e := l.entries[a.id]
	if e == nil || e.room != room {
		l.complain("room %s: seq %d is a message that nobody wrote", room, seq)
		return
	}
	if other := s.seqs[a.id]; other != 0 {
		l.complain("room %s: one message has seq %d and seq %d", room, other, seq)
	} else if e.accepted {
		l.again++
	}
	s.seqs[a.id] = seq
	e.accepted = true
}

func (l *ledger) complain(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// onAccept has fn called for every event of this ledger that is accepted, while
// Pusher's answer waits. nil ends it.
func (l *ledger) onAccept(fn func(room string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hook = fn
}

// accepted is how many different events have arrived.
func (l *ledger) accepted() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.rooms {
		for _, epoch := range s {
			n += len(epoch.arrived)
		}
	}
	return n
}

// missing is how many messages are known to be committed and have not arrived, but
// for those of one room (empty: of none).
func (l *ledger) missing(except string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.state == written && !e.poison && !e.accepted && e.room != except {
			n++
		}
	}
	return n
}

// unknowns are the messages of which the writer does not know what became.
func (l *ledger) unknowns() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.entries {
		if e.state == unknown {
			ids = append(ids, id)
		}
	}
	return ids
}

// resolve is told which of the unknown ones are in the database after all.
func (l *ledger) resolve(found map[string]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.entries {
		if e.state == unknown {
			e.state = undone
			if found[id] {
				e.state = written
			}
		}
	}
}

// restored notes that the database was restored: of all that is committed it kept these.
// Every room may begin another epoch, in which what was kept may come once more.
func (l *ledger) restored(kept map[string]bool) (taken int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.restores++
	l.restoredAt = l.clock
	for id, e := range l.entries {
		if e.state == written && !kept[id] {
			e.state = reverted
			taken++
		}
	}
	return taken
}

// since is how many of the messages that were begun after the restore have arrived.
func (l *ledger) since() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.accepted && e.began > l.restoredAt {
			n++
		}
	}
	return n
}
