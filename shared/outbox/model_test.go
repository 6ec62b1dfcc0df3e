package outbox_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"roomcast/shared/admin"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

var (
	modelSeed  = flag.Uint64("model.seed", uint64(time.Now().UnixNano()), "of the first history of TestModel")
	histories  = flag.Uint64("model.histories", 5, "in TestModel")
	modelSteps = flag.Int("model.steps", 250, "in each history of TestModel")
)

// TestModel tells random histories of writers, relays and an operator, one step
// after another, to the database and to a small model of it, and compares what
// both say. What the model knows is what the package promises: numbers are fixed
// and without gaps, in the order of the commits; only the newest lease of a room
// moves it on; whatever was committed is sent or parked in the end.
func TestModel(t *testing.T) {
	for i := range *histories {
		seed := *modelSeed + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newHistory(t, seed)
			for range *modelSteps {
				h.step()
				h.nobodyForgotten()
			}
			h.end()
		})
	}
}

// message is one that a writer wrote.
type message struct {
	id           string
	tx, place    int
	began, ended int // by the history's clock
	committed    bool
	seq          int64 // once it was seen to have one
}

// roomModel is what must hold of a room.
type roomModel struct {
	numbers map[int64]string // what has been seen to have which number
	sent    map[int64]bool   // Pusher has it
	parked  map[int64]bool
	passed  int64 // sent_seq: all up to here is sent or parked
	fence   int64
	held    bool // leased, or resting: not to be claimed
}

// held is a room as a relay got it, and how far it has come.
type held struct {
	outbox.Room
	next int // index of the next row
}

// history is the database and the model, side by side.
type history struct {
	*chat
	rnd      *rand.Rand
	operator admin.Operator
	clock    int
	messages map[string]*message
	rooms    map[string]*roomModel
	writers  []*author
	relays   [][]*held
	ghosts   []*held // of relays that were frozen or cut off, and may yet come back
	told     []string
	few      bool // rows are numbered at once, so that transactions are large: in pieces
}

func newHistory(t *testing.T, seed uint64) *history {
	fixture := outboxtest.NewFixture(t)
	url := fixture.URL
	operator, err := admin.OpenOperator(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(operator.Close)
	h := &history{
		chat: &chat{fixture},
		rnd:  rand.New(rand.NewPCG(seed, 0)), operator: operator,
		messages: map[string]*message{}, rooms: map[string]*roomModel{},
		relays: make([][]*held, 3),
	}
	if h.few = h.rnd.IntN(2) == 0; h.few {
		h.Exec(`do $do$ begin execute replace(pg_get_functiondef('roomcast.assign_seqs(boolean, int)'::regprocedure), 'DEFAULT 20000', 'DEFAULT 2'); end $do$`)
		h.Exec(`do $do$ begin execute replace(pg_get_functiondef('roomcast.claim(text, int, int, interval, text)'::regprocedure), 'least(claim.max_rows, 20000)', 'least(claim.max_rows, 2)'); end $do$`)
	}
	for i := range 3 {
		room := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		h.rooms[room] = &roomModel{numbers: map[int64]string{}, sent: map[int64]bool{}, parked: map[int64]bool{}}
		h.writers = append(h.writers, &author{conn: outboxtest.Connect(t, url)})
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what happened last: %q", h.told[max(0, len(h.told)-40):])
		}
	})
	return h
}

// step does one random thing.
func (h *history) step() {
	h.clock++
	relay := h.rnd.IntN(len(h.relays))
	switch die := h.rnd.IntN(100); {
	case die < 40:
		h.writers[h.rnd.IntN(len(h.writers))].step(h)
	case die < 55:
		h.claimSome(relay)
	case die < 72:
		h.publish(h.pick(relay))
	case die < 82:
		h.finish(relay)
	case die < 85:
		h.park(h.pick(relay))
	case die < 88: // the relay dies, or freezes and comes back later
		h.tell("relay %d gone", relay)
		h.ghosts = append(h.ghosts, h.relays[relay]...)
		h.relays[relay] = nil
	case die < 92:
		h.goOnLate()
	case die < 96:
		h.expire(h.room())
	case die < 98:
		h.redrive(h.room())
	default:
		h.skip(h.room())
	}
}

// nobodyForgotten: a room with rows waiting is some relay's, or wants attention as soon as it
// is due.
func (h *history) nobodyForgotten() {
	if rooms := one[string](h.chat, `select coalesce(string_agg(room, ' '), '') from roomcast.rooms
		where head_seq > sent_seq and holder is null and (attention is null or attention > greatest(due, clock_timestamp()) + interval '1 second')`); rooms != "" {
		h.Fatalf("nobody will look at %s, whose rows wait", rooms)
	}
}

func (h *history) tell(format string, args ...any) {
	h.told = append(h.told, fmt.Sprintf(format, args...))
}

func (h *history) room() string {
	rooms := slices.Sorted(maps.Keys(h.rooms)) // a map's order is not the seed's
	return rooms[h.rnd.IntN(len(rooms))]
}

// pick is one of the rooms a relay has in hand; nil if it has none.
func (h *history) pick(relay int) *held {
	if n := len(h.relays[relay]); n > 0 {
		return h.relays[relay][h.rnd.IntN(n)]
	}
	return nil
}

// claimSome claims with random limits and holds what comes against the model.
func (h *history) claimSome(relay int) {
	limits := outbox.Limits{Rows: 1 + h.rnd.IntN([]int{2, 20}[h.rnd.IntN(2)]), PerRoom: 1 + h.rnd.IntN(6), Lease: time.Hour}
	rooms, err := h.DB.Claim(h.Context(), fmt.Sprint("relay ", relay), limits)
	h.must(err)
	rows := 0
	for _, room := range rooms {
		h.claimed(room, limits)
		rows += len(room.Rows)
		h.relays[relay] = append(h.relays[relay], &held{Room: room})
		h.tell("relay %d claims %s from %d, %d rows, fence %d", relay, room.ID[35:], room.Rows[0].Seq, len(room.Rows), room.Fence)
	}
	if rows > limits.Rows {
		h.Fatalf("%d rows were claimed, the limit is %d", rows, limits.Rows)
	}
}

func (h *history) claimed(room outbox.Room, limits outbox.Limits) {
	m := h.rooms[room.ID]
	if m.held {
		h.Fatalf("room %s was claimed while it was held", room.ID)
	}
	if room.Fence <= m.fence {
		h.Fatalf("room %s: fence %d follows %d", room.ID, room.Fence, m.fence)
	}
	if len(room.Rows) == 0 || len(room.Rows) > limits.PerRoom {
		h.Fatalf("room %s: %d rows, the limit is %d", room.ID, len(room.Rows), limits.PerRoom)
	}
	for i, row := range room.Rows {
		if want := m.passed + int64(i) + 1; row.Seq != want {
			h.Fatalf("room %s: claimed seq %d, want %d", room.ID, row.Seq, want)
		}
		h.numbered(room.ID, row.Seq, idOf(h, row.Change.Record))
	}
	m.held, m.fence = true, room.Fence
}

func idOf(h *history, record []byte) string {
	var r struct{ ID string }
	h.must(json.Unmarshal(record, &r))
	return r.ID
}

// numbered notes which message has a number: always the same, and a committed one.
func (h *history) numbered(room string, seq int64, id string) {
	m := h.rooms[room]
	if before, seen := m.numbers[seq]; seen && before != id {
		h.Fatalf("room %s: seq %d was %s and is now %s", room, seq, before, id)
	}
	if msg := h.messages[id]; msg == nil || !msg.committed {
		h.Fatalf("room %s: seq %d is %q, which was not committed", room, seq, id)
	}
	m.numbers[seq] = id
	if msg := h.messages[id]; msg.seq == 0 {
		msg.seq = seq
	} else if msg.seq != seq {
		h.Fatalf("message %s has the numbers %d and %d", id, msg.seq, seq)
	}
}

// publish sends the next row of a held room, under a lease that may be lost by now: Pusher does
// not know.
func (h *history) publish(x *held) {
	if x == nil || x.next == len(x.Rows) {
		return
	}
	m, seq := h.rooms[x.ID], x.Rows[x.next].Seq
	if seq > 1 && !m.sent[seq-1] && !m.parked[seq-1] {
		h.Fatalf("room %s: seq %d was sent before seq %d", x.ID, seq, seq-1)
	}
	m.sent[seq] = true
	x.next++
	h.tell("fence %d sends %d of %s", x.Fence, seq, x.ID[35:])
}

// park gives up the next row of a held room; only the newest lease can.
func (h *history) park(x *held) {
	if x == nil || x.next == len(x.Rows) {
		return
	}
	m, seq := h.rooms[x.ID], x.Rows[x.next].Seq
	held, err := h.DB.Park(h.Context(), x.ID, x.Fence, seq, "because")
	h.must(err)
	if held != (x.Fence == m.fence) {
		h.Fatalf("room %s: park with fence %d of %d: %v", x.ID, x.Fence, m.fence, held)
	}
	h.tell("fence %d parks %d of %s: %v", x.Fence, seq, x.ID[35:], held)
	if held {
		m.parked[seq] = true
		x.next++
	}
}

// finish acks all that a relay has in hand, in one call.
func (h *history) finish(relay int) {
	h.ack(h.relays[relay])
	h.relays[relay] = nil
}

// goOnLate has a relay that was gone go on where it stood: it sends, parks or acks.
func (h *history) goOnLate() {
	if len(h.ghosts) == 0 {
		return
	}
	i := h.rnd.IntN(len(h.ghosts))
	switch x := h.ghosts[i]; h.rnd.IntN(3) {
	case 0:
		h.publish(x)
	case 1:
		h.park(x)
	default:
		h.ack([]*held{x}) // and again another time
	}
}

// ack tells the database how far some rooms have come. Those whose fence is not the
// newest are refused, and no others.
func (h *history) ack(rooms []*held) {
	var acks []outbox.Ack
	var want []string
	for _, x := range rooms {
		m, a := h.rooms[x.ID], outbox.Ack{Room: x.ID, Fence: x.Fence}
		if x.next > 0 {
			a.Seq = x.Rows[x.next-1].Seq
		}
		if h.rnd.IntN(4) == 0 {
			a.Wait = time.Hour
		}
		acks = append(acks, a)
		if x.Fence != m.fence {
			want = append(want, x.ID)
			continue
		}
		m.passed, m.held = max(m.passed, a.Seq), a.Wait > 0
		h.tell("fence %d acks %d of %s", x.Fence, a.Seq, x.ID[35:])
	}
	if len(acks) == 0 {
		return
	}
	refused, err := h.DB.Ack(h.Context(), acks)
	h.must(err)
	slices.Sort(want)
	slices.Sort(refused)
	if !slices.Equal(refused, want) {
		h.Fatalf("refused were %q, want %q", refused, want)
	}
}

// end lets every transaction end and every lease lapse, drains what waits, and looks
// at the whole.
func (h *history) end() {
	for _, a := range h.writers {
		a.end(h, true)
	}
	for h.drainOnce() {
	}
	waits, err := h.DB.HasWaiting(h.Context())
	h.must(err)
	if waits {
		h.Error("something still waits")
	}
	numbered := map[string]bool{}
	for room, m := range h.rooms {
		h.redrive(room) // learns every number, and sends what was parked
		for seq := range m.passed {
			if !m.sent[seq+1] {
				h.Errorf("room %s: seq %d was never sent", room, seq+1)
			}
			numbered[m.numbers[seq+1]] = true
		}
		h.inOrder(room)
	}
	for id, msg := range h.messages {
		if msg.committed != numbered[id] {
			h.Errorf("message %s: committed %v, numbered %v", id, msg.committed, numbered[id])
		}
	}
}

// drainOnce reports whether there was anything.
func (h *history) drainOnce() bool {
	for room := range h.rooms {
		h.expire(room)
	}
	h.claimSome(0)
	any := len(h.relays[0]) > 0
	for _, x := range h.relays[0] {
		for x.next < len(x.Rows) {
			h.publish(x)
		}
	}
	h.finish(0)
	return any
}

// inOrder compares numbers and commits: a message that was committed before another
// was begun has the lower number, and so has the earlier of one transaction.
func (h *history) inOrder(room string) {
	m := h.rooms[room]
	seqs := slices.SortedFunc(maps.Keys(m.numbers), cmp.Compare[int64])
	for i, low := range seqs {
		a := h.messages[m.numbers[low]]
		for _, high := range seqs[i+1:] {
			b := h.messages[m.numbers[high]]
			if !h.few && b.ended < a.began || a.tx == b.tx && b.place < a.place {
				h.Errorf("room %s: seq %d and %d stand the wrong way round", room, low, high)
			}
		}
	}
}

func (h *history) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}
