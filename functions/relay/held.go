package relay

import (
	"sync"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/outbox"
	"roomcast/shared/recent"
)

// heldRooms remembers how far rooms went that were given back before their departures
// were confirmed: their claim begins at the departure again, and what was published
// behind it need not be repeated. It is safe for concurrent use.
type heldRooms struct {
	mu    sync.Mutex
	rooms *recent.Map[string, heldRoom]
}

type heldRoom struct {
	epoch    string
	accepted int64
	failures int // in a row
	// left is the last departure that was tried, and read when it was first read: a user
	// disconnected after that need not be disconnected again for it.
	left int64
	read time.Time
}

const maxHeld = 1 << 14 // rooms in each generation

func newHeldRooms() *heldRooms {
	return &heldRooms{rooms: recent.New[string, heldRoom](2*time.Minute, maxHeld)}
}

func epochOf(room outbox.Room) string {
	for _, row := range room.Rows {
		if row.Change.Position != nil {
			return row.Change.Position.Epoch
		}
	}
	return ""
}

// since returns when departures were first read, given when they were read last.
func (h *heldRooms) since(room outbox.Room, left []access.Departure, read time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms.Get(room.ID, time.Now())
	if ok && r.epoch == epochOf(room) && !r.read.IsZero() && left[len(left)-1].Seq <= r.left {
		return r.read
	}
	return read
}

// fail counts a failure in a row, of departures that were read at a time, and returns how
// many there were.
func (h *heldRooms) fail(room outbox.Room, left []access.Departure, read time.Time) int {
	since := h.since(room, left, read)
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	r, _ := h.rooms.Get(room.ID, now)
	r.failures++
	r.epoch, r.left, r.read = epochOf(room), left[len(left)-1].Seq, since
	h.rooms.Put(room.ID, r, now)
	return r.failures
}

// note remembers how far a room went beyond what is acked.
func (h *heldRooms) note(room outbox.Room, p *progress) {
	if p.accepted == p.sent && !p.failed {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	r, _ := h.rooms.Get(room.ID, now)
	r.epoch, r.accepted = epochOf(room), max(r.accepted, p.accepted)
	h.rooms.Put(room.ID, r, now)
}

// forget ends a streak of failures.
func (h *heldRooms) forget(room string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rooms.Put(room, heldRoom{}, time.Now())
}

// knows returns up to which seq a room was published before.
func (h *heldRooms) knows(room outbox.Room) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms.Get(room.ID, time.Now())
	if !ok || r.epoch != epochOf(room) {
		return 0
	}
	return r.accepted
}
