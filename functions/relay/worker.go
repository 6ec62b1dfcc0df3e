package relay

import (
	"context"
	"log/slog"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/backoff"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// outcome is what a lane reports of a load.
type outcome struct {
	rows int
	acks []outbox.Ack
	gone []access.Departure
}

// lane carries one assignment: batch after batch, so that within a room no event is
// sent before the one ahead of it was accepted.
type worker struct {
	*Relay
	assignment
	progress []progress // of each room
	first    int        // rooms before this one are done
	gone     []access.Departure
	items    []item // the batch being built, its memory reused
	events   []pusher.Event
}

// progress is how far a lane has come with a room.
type progress struct {
	next    int   // index of the next row
	sent    int64 // last seq accepted, parked or passed over; 0 if none
	trouble backoff.Timer
	given   time.Duration // wait before the room is claimed again, if it was given up
	over    bool
}

// run carries the load as far as the lease, the lanes' health and the time to
// leave allow. What is left over goes back with the ack.
func (r *Relay) run(ctx context.Context, a assignment) outcome {
	w := &worker{Relay: r, assignment: a, progress: make([]progress, len(a.rooms))}
	for ctx.Err() == nil && !w.expired() && !r.health.paused() {
		batch := w.take()
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
	return w.outcome()
}

func (w *worker) outcome() outcome {
	out := outcome{acks: make([]outbox.Ack, len(w.rooms)), gone: w.gone}
	for i, room := range w.rooms {
		out.rows += len(room.Rows)
		p := w.progress[i]
		out.acks[i] = outbox.Ack{Room: room.ID, Fence: room.Fence, Seq: p.sent, Wait: p.given}
	}
	return out
}

// expired reports whether the lease may be over. It looks at the wall clock too:
// the monotonic one stands still while a machine is suspended.
func (w *worker) expired() bool {
	now := time.Now()
	if by := w.leaveBy.Load(); by != nil && now.After(*by) {
		return true
	}
	return now.After(w.deadline) || now.Round(0).After(w.deadline.Round(0))
}

// take builds the next batch: rows of the first room that is not waiting, then of
// the next, until ten events are together; a pack is one. A room that failed travels
// alone, so that it fails alone.
func (w *worker) take() []item {
	w.items = w.items[:0]
	var call tally
	for i := w.first; i < len(w.rooms); i++ {
		p := &w.progress[i]
		if p.next == len(w.rooms[i].Rows) || p.over {
			if i == w.first {
				w.first++
			}
			continue
		}
		if !p.trouble.Over() || (p.trouble.Step > 0 && call.events > 0) {
			continue
		}
		for _, row := range w.rooms[i].Rows[p.next:] {
			it := w.translate(i, row)
			if !call.add(&it) {
				return w.items
			}
			w.items = append(w.items, it)
			if it.reject != nil {
				return w.items // what is behind it travels when it is parked
			}
		}
		if p.trouble.Step > 0 {
			return w.items
		}
	}
	return w.items
}

// waitForRoom sleeps until the first room in trouble may be tried again. It
// reports false when there is none.
func (w *worker) waitForRoom(ctx context.Context) bool {
	var at time.Time
	for i := w.first; i < len(w.rooms); i++ {
		p := &w.progress[i]
		if !p.over && p.next < len(w.rooms[i].Rows) && (at.IsZero() || p.trouble.Until.Before(at)) {
			at = p.trouble.Until
		}
	}
	if at.IsZero() || at.After(w.deadline) {
		return false
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-w.leaving.Done():
		return false
	}
}

// send publishes a batch and does with it what the answer asks for. It reports
// whether the lane may go on.
func (w *worker) send(ctx context.Context, batch []item) bool {
	if len(batch) == 1 && batch[0].reject != nil {
		return w.park(ctx, batch[0], batch[0].reject)
	}
	for i := range batch {
		if batch[i].reject != nil { // first what stands before it
			return w.send(ctx, batch[:max(1, i)])
		}
	}
	err := w.publish(ctx, batch)
	switch class := pusher.Classify(err); {
	case class == pusher.Accepted:
		w.settle(batch)
		w.health.accepted(w.rooms[batch[0].room].ID)
		return true
	case ctx.Err() != nil:
		return false
	case class == pusher.Rejected:
		return w.isolate(ctx, batch, err)
	case class == pusher.TryLater:
		return w.retryLater(batch, err)
	default:
		w.health.failed(w.rooms[batch[0].room].ID, err)
		return false
	}
}

// publish sends the events of a batch in one call that ends with the lease.
func (w *worker) publish(ctx context.Context, batch []item) error {
	w.events = appendEvents(w.events[:0], batch)
	if len(w.events) == 0 {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, w.deadline.Add(leaseMargin/2))
	defer cancel()
	start := time.Now()
	err := w.Publisher.PublishBatch(ctx, w.events)
	w.Observer.Published(len(w.events), time.Since(start), pusher.Classify(err))
	return err
}

// settle moves the rooms of a batch on.
func (w *worker) settle(batch []item) {
	since := time.Since(w.claimed)
	for _, it := range batch {
		p := &w.progress[it.room]
		p.next++
		p.sent = it.seq
		if p.trouble.Step > 0 {
			p.trouble.Reset()
		}
		if len(it.events) > 0 {
			w.Observer.Delivered(it.age + since)
		}
		if it.left {
			w.gone = append(w.gone, access.Departure{Room: w.rooms[it.room].ID, Seq: it.seq})
		}
	}
}

// retryLater puts off a batch that did not get through. One of several rooms does
// not tell which room is at fault: each then travels alone, at once. A room that
// keeps failing alone is given back to the database, while the lane's other rooms
// go on.
func (w *worker) retryLater(batch []item, err error) (goOn bool) {
	room := batch[0].room
	if batch[len(batch)-1].room != room {
		for _, it := range batch {
			w.progress[it.room].trouble = backoff.Timer{Step: 1}
		}
		return !w.health.failed("", err)
	}
	p, id := &w.progress[room], w.rooms[room].ID
	p.trouble.Fail(roomBackoff)
	w.Log.Warn("not accepted, will try again", slog.String("room", id), slog.Int64("seq", batch[0].seq),
		slog.Int("attempt", p.trouble.Step), slog.Any("err", err))
	if p.trouble.Step > roomTries || p.trouble.Until.After(w.deadline) {
		p.over, p.given = true, w.health.giveUp(id)
	}
	return !w.health.failed(id, err)
}

// isolate deals with a batch that Pusher refuses as such: the halves are sent in
// order until the guilty event stands alone, and only that one is parked.
func (w *worker) isolate(ctx context.Context, batch []item, err error) bool {
	if len(batch) == 1 {
		return w.park(ctx, batch[0], err)
	}
	half := len(batch) / 2
	first := append([]item(nil), batch[:half]...) // the lane's own slice is reused below
	rest := append([]item(nil), batch[half:]...)
	if !w.send(ctx, first) {
		return false
	}
	if !w.done(first) {
		return true // put off: what follows waits, too
	}
	return w.send(ctx, rest)
}

// done reports whether every item was settled.
func (w *worker) done(batch []item) bool {
	for _, it := range batch {
		if w.progress[it.room].sent < it.seq {
			return false
		}
	}
	return true
}

// park notes why an event can never be sent, and passes over it. It keeps its
// seq: clients see the gap and fetch it over HTTP.
func (w *worker) park(ctx context.Context, it item, reason error) bool {
	room := w.rooms[it.room]
	ctx, cancel := context.WithDeadline(ctx, w.deadline.Add(leaseMargin/2))
	defer cancel()
	held, err := w.Outbox.Park(ctx, room.ID, room.Fence, it.seq, reason.Error())
	if err != nil || !held {
		w.Log.Warn("could not park, will try again", slog.String("room", room.ID), slog.Int64("seq", it.seq), slog.Any("err", err))
		w.progress[it.room].over, w.progress[it.room].given = true, time.Second
		return true
	}
	w.Observer.Parked(parkReason(reason))
	w.Log.Error("parked: pusher will never take this event", slog.String("room", room.ID), slog.Int64("seq", it.seq), slog.Any("err", reason))
	it.events = nil
	w.settle([]item{it})
	return true
}
