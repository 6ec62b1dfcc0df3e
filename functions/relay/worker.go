package relay

import (
	"context"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// outcome is what a worker reports of an assignment.
type outcome struct {
	rows  int
	bytes int // of their records
	acks  []outbox.Ack
}

// worker runs one assignment: batch after batch, so that within a room no event is
// sent before the one ahead of it was accepted.
type worker struct {
	*Relay
	assignment
	progress []progress   // of each room
	first    int          // rooms before this one are done
	revoked  chan revoked // answers of the revoker
	revoking int          // rooms for which one is under way
	items    []item       // the batch being built, its memory reused
	events   []pusher.Event
}

// progress is how far a worker has come with a room.
type progress struct {
	next     int   // index of the next row
	accepted int64 // last seq accepted, parked or passed over; 0 if none
	sent     int64 // as accepted, but not past a departure that is not confirmed
	trouble  backoff.Timer
	given    time.Duration // wait before the room is claimed again, if it was given up
	over     bool

	hold // what the departures of the room ask for
}

func newWorker(r *Relay, a assignment) *worker {
	w := &worker{Relay: r, assignment: a, progress: make([]progress, len(a.rooms)), revoked: make(chan revoked, len(a.rooms))}
	for i, room := range a.rooms {
		w.progress[i].known = r.held.knows(room)
	}
	return w
}

// run works on the assignment as far as the lease, Pusher's health and the time to leave
// allow. What is left over goes back with the ack.
func (w *worker) run(ctx context.Context) outcome {
	for ctx.Err() == nil && !w.expired() && !w.health.paused() {
		w.revoke(ctx)
		batch := w.nextBatch()
		if len(batch) == 0 {
			if !w.waitForRoom(ctx) {
				break
			}
			continue
		}
		if !w.send(ctx, batch) {
			break
		}
	}
	w.awaitRevoked()
	return w.outcome()
}

func (w *worker) outcome() outcome {
	out := outcome{acks: make([]outbox.Ack, len(w.rooms))}
	out.rows, out.bytes = sizeOf(w.rooms)
	for i, room := range w.rooms {
		p := &w.progress[i]
		w.held.note(room, p)
		out.acks[i] = outbox.Ack{Room: room.ID, Fence: room.Fence, Seq: p.sent, Wait: p.given}
	}
	return out
}

// expired reports whether the lease may be over, by the wall clock too: the monotonic
// one stands still while a machine is suspended.
func (w *worker) expired() bool {
	now := time.Now()
	if by := w.leaveBy.Load(); by != nil && now.After(*by) {
		return true
	}
	return now.After(w.deadline) || now.Round(0).After(w.deadline.Round(0))
}

// isDone reports whether nothing is left to do for a room.
func (w *worker) isDone(i int) bool {
	p := &w.progress[i]
	return p.over && !p.revoking || p.next == len(w.rooms[i].Rows) && len(p.left) == 0
}

// waitForRoom sleeps until the first room in trouble may be tried again or the revoker
// answers. It reports false when there is nothing to wait for.
func (w *worker) waitForRoom(ctx context.Context) bool {
	var at time.Time
	for i := w.first; i < len(w.rooms); i++ {
		if p := &w.progress[i]; !w.isDone(i) && !p.revoking {
			if due := later(p.trouble.Until, p.retry.Until); at.IsZero() || due.Before(at) {
				at = due
			}
		}
	}
	if w.revoking == 0 && (at.IsZero() || at.After(w.deadline)) {
		return false
	}
	if at.IsZero() {
		at = w.deadline
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case r := <-w.revoked:
		w.answer(r)
		return true
	case <-ctx.Done():
		return false
	case <-w.leaving.Done():
		return false
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
