package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/backoff"
	"roomcast/shared/outbox"
	"roomcast/shared/recent"
)

// Departures. A user who left a room must not hear what is numbered behind user-left, so
// a worker stops there and has the user disconnected. If that fails, the room goes on with
// bare events ([event.Bare]): the members fetch their content over HTTP, where the
// database decides who may. The ack does not pass the departure before the disconnect is
// confirmed, so that whichever relay comes next starts there.

// Users who left at about the same time are disconnected together: together of them, who
// left within togetherFor.
const (
	togetherMost = 64
	togetherFor  = time.Second
)

// holdTries is how often a worker tries before the room goes back to the database: other
// rooms wait for its ack, too. retrySpan paces that, and the claims behind it.
const holdTries = 2

// logEvery: of the failures of one room only one in so many is logged, about one a minute.
const logEvery = 12

var retrySpan = backoff.Span{First: 250 * time.Millisecond, Most: 4 * time.Second}

// hold is what stands between a room and its next events.
type hold struct {
	departures
	revoking bool // the revoker was asked
	failed   bool // it failed; until it does not, events are bare
	retry    backoff.Timer
	known    int64 // up to here rows were published before
}

// departures are those accepted by Pusher whose users are not yet confirmed to be
// disconnected.
type departures struct {
	left []access.Departure
	age  time.Duration // of the first
}

func (d *departures) depart(gone access.Departure, age time.Duration) {
	if len(d.left) == 0 {
		d.age = age
	}
	d.left = append(d.left, gone)
}

// allow reports whether a row may be published behind these departures, and counts it
// among them if it is one.
func (d *departures) allow(it item) bool {
	if len(d.left) > 0 && (!it.left || len(d.left) >= togetherMost || d.age-it.age > togetherFor) {
		return false
	}
	if it.left {
		d.left = d.left[:len(d.left):len(d.left)] // a copy: the row is not accepted yet
		d.depart(access.Departure{Seq: it.seq}, it.age)
	}
	return true
}

// revoked is what the revoker answered for a room.
type revoked struct {
	room int
	wait time.Duration
	err  error
}

// revoke asks the revoker for every room that has come to the end of what its departures
// allow, and takes the answers that are there.
func (w *worker) revoke(ctx context.Context) {
	for i := w.first; i < len(w.rooms); i++ {
		p := &w.progress[i]
		if len(p.left) == 0 || p.revoking || p.over || !p.retry.Over() || !w.mustRevoke(i) {
			continue
		}
		p.revoking = true
		w.revoking++
		gone, since := p.left, w.held.since(w.rooms[i], p.left, w.claimed)
		go func() {
			ctx, cancel := context.WithDeadline(ctx, w.deadline) // other rooms wait for this worker's ack
			defer cancel()
			wait, err := w.Revoker.Revoke(ctx, gone, since)
			w.revoked <- revoked{i, wait, err}
		}()
	}
	for {
		select {
		case r := <-w.revoked:
			w.answer(r)
		default:
			return
		}
	}
}

// mustRevoke reports whether a room's next row, if there is one, may not be published
// with the departures before it.
func (w *worker) mustRevoke(i int) bool {
	p, rows := &w.progress[i], w.rooms[i].Rows
	if p.next == len(rows) {
		return true
	}
	together := p.departures
	return !p.failed && !together.allow(w.translate(i, rows[p.next], true))
}

// answer notes what the revoker did for a room. One that failed too often goes back to
// the database.
func (w *worker) answer(r revoked) {
	p, id := &w.progress[r.room], w.rooms[r.room].ID
	p.revoking = false
	w.revoking--
	if r.err == nil {
		if p.failed || p.known > 0 {
			w.held.forget(id)
		}
		p.hold = hold{}
		p.sent = p.accepted
		return
	}
	step := w.held.fail(w.rooms[r.room], p.left, w.claimed)
	if step == 1 || step%logEvery == 0 {
		w.Log.Warn("a user who left the room is not disconnected yet; its events go out without their content",
			slog.String("room", id), slog.Int("attempt", step), slog.Any("err", r.err))
	}
	p.failed = true
	p.retry.Fail(retrySpan)
	if p.retry.Step > holdTries || p.retry.Until.After(w.deadline) || r.wait > retrySpan.Most {
		p.given = retrySpan.Wait(step)
		p.retry.Until = w.deadline.Add(time.Hour) // not again in this assignment
	}
}

// finishRevoking waits for the answers under way.
func (w *worker) finishRevoking() {
	for w.revoking > 0 {
		w.answer(<-w.revoked)
	}
}

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
