package relay

import (
	"context"
	"log/slog"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/backoff"
	"roomcast/shared/pusher"
)

// send publishes a batch and does with it what the answer asks for. It reports
// whether the worker may go on.
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
		w.accept(batch)
		w.health.accepted(w.rooms[batch[0].room].ID)
		return true
	case ctx.Err() != nil:
		return false
	case w.isCanary(batch[0].room):
		w.skip(batch)
		return true
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

// accept moves the rooms of a batch on.
func (w *worker) accept(batch []item) {
	since := time.Since(w.claimed)
	for _, it := range batch {
		p := &w.progress[it.room]
		if row := &w.rooms[it.room].Rows[p.next]; w.Accepted != nil && !row.Missing {
			w.Accepted(row.Change)
		}
		p.next++
		p.accepted = it.seq
		if it.left {
			p.depart(access.Departure{Room: w.rooms[it.room].ID, Seq: it.seq}, it.age)
		}
		if len(p.left) == 0 {
			p.sent = it.seq
		}
		if p.trouble.Step > 0 {
			p.trouble.Reset()
		}
		if len(it.events) > 0 {
			w.Observer.Delivered(it.age + since)
		}
	}
}

// skip passes over canaries that were not accepted: late they would prove nothing, and
// they are no reason to stay awake.
func (w *worker) skip(batch []item) {
	for i := range batch {
		batch[i].events = nil
	}
	w.accept(batch)
}

// retryLater puts off a batch that did not get through. One of several rooms does
// not tell which room is at fault: each then travels alone, at once. A room that
// keeps failing alone is given back to the database, while the worker's other rooms
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
// order until the rejected event stands alone, and only that one is parked.
func (w *worker) isolate(ctx context.Context, batch []item, err error) bool {
	if len(batch) == 1 {
		return w.park(ctx, batch[0], err)
	}
	half := len(batch) / 2
	first := append([]item(nil), batch[:half]...) // the worker's own slice is reused below
	rest := append([]item(nil), batch[half:]...)
	if !w.send(ctx, first) {
		return false
	}
	if !w.done(first) {
		return true // put off: what follows waits, too
	}
	return w.send(ctx, rest)
}

// done reports whether every item was accepted.
func (w *worker) done(batch []item) bool {
	for _, it := range batch {
		if w.progress[it.room].accepted < it.seq {
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
	w.accept([]item{it})
	return true
}
