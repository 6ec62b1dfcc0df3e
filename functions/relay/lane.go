package relay

import (
	"context"
	"log/slog"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// outcome is what a lane reports of a load.
type outcome struct {
	rows int
	acks []outbox.Ack
	gone []access.Departure
}

// lane carries one load: batch after batch, so that within a room no event is
// sent before the one ahead of it was accepted.
type lane struct {
	*Relay
	load
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
	trouble backoff
	given   time.Duration // wait before the room is claimed again, if it was given up
	over    bool
}

// run carries the load as far as the lease, the lanes' health and the time to
// leave allow. What is left over goes back with the ack.
func (r *Relay) run(ctx context.Context, ld load) outcome {
	l := &lane{Relay: r, load: ld, progress: make([]progress, len(ld.rooms))}
	for ctx.Err() == nil && !l.expired() && !r.health.paused() {
		batch := l.take()
		if len(batch) == 0 {
			if !l.waitForRoom(ctx) {
				break
			}
			continue
		}
		if !l.send(ctx, batch) {
			break
		}
	}
	return l.outcome()
}

func (l *lane) outcome() outcome {
	out := outcome{acks: make([]outbox.Ack, len(l.rooms)), gone: l.gone}
	for i, room := range l.rooms {
		out.rows += len(room.Rows)
		p := l.progress[i]
		out.acks[i] = outbox.Ack{Room: room.ID, Fence: room.Fence, Seq: p.sent, Wait: p.given}
	}
	return out
}

// expired reports whether the lease may be over. It looks at the wall clock too:
// the monotonic one stands still while a machine is suspended.
func (l *lane) expired() bool {
	now := time.Now()
	if by := l.leaveBy.Load(); by != nil && now.After(*by) {
		return true
	}
	return now.After(l.deadline) || now.Round(0).After(l.deadline.Round(0))
}

// take builds the next batch: rows of the first room that is not waiting, then of
// the next, until ten events are together; a pack is one. A room that failed travels
// alone, so that it fails alone.
func (l *lane) take() []item {
	l.items = l.items[:0]
	var call tally
	for i := l.first; i < len(l.rooms); i++ {
		p := &l.progress[i]
		if p.next == len(l.rooms[i].Rows) || p.over {
			if i == l.first {
				l.first++
			}
			continue
		}
		if !p.trouble.over() || (p.trouble.step > 0 && call.events > 0) {
			continue
		}
		for _, row := range l.rooms[i].Rows[p.next:] {
			it := l.translate(i, row)
			if !call.add(&it) {
				return l.items
			}
			l.items = append(l.items, it)
			if it.reject != nil {
				return l.items // what is behind it travels when it is parked
			}
		}
		if p.trouble.step > 0 {
			return l.items
		}
	}
	return l.items
}

// waitForRoom sleeps until the first room in trouble may be tried again. It
// reports false when there is none.
func (l *lane) waitForRoom(ctx context.Context) bool {
	var at time.Time
	for i := l.first; i < len(l.rooms); i++ {
		p := &l.progress[i]
		if !p.over && p.next < len(l.rooms[i].Rows) && (at.IsZero() || p.trouble.until.Before(at)) {
			at = p.trouble.until
		}
	}
	if at.IsZero() || at.After(l.deadline) {
		return false
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-l.leaving.Done():
		return false
	}
}

// send publishes a batch and does with it what the answer asks for. It reports
// whether the lane may go on.
func (l *lane) send(ctx context.Context, batch []item) bool {
	if len(batch) == 1 && batch[0].reject != nil {
		return l.park(ctx, batch[0], batch[0].reject)
	}
	for i := range batch {
		if batch[i].reject != nil { // first what stands before it
			return l.send(ctx, batch[:max(1, i)])
		}
	}
	err := l.publish(ctx, batch)
	switch class := pusher.Classify(err); {
	case class == pusher.Accepted:
		l.settle(batch)
		l.health.accepted(l.rooms[batch[0].room].ID)
		return true
	case ctx.Err() != nil:
		return false
	case class == pusher.Rejected:
		return l.isolate(ctx, batch, err)
	case class == pusher.TryLater:
		return l.retryLater(batch, err)
	default:
		l.health.failed(l.rooms[batch[0].room].ID, err)
		return false
	}
}

// publish sends the events of a batch in one call that ends with the lease.
func (l *lane) publish(ctx context.Context, batch []item) error {
	l.events = appendEvents(l.events[:0], batch)
	if len(l.events) == 0 {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, l.deadline.Add(leaseMargin/2))
	defer cancel()
	start := time.Now()
	err := l.Publisher.PublishBatch(ctx, l.events)
	l.Observer.Published(len(l.events), time.Since(start), pusher.Classify(err))
	return err
}

// settle moves the rooms of a batch on.
func (l *lane) settle(batch []item) {
	since := time.Since(l.claimed)
	for _, it := range batch {
		p := &l.progress[it.room]
		p.next++
		p.sent = it.seq
		if p.trouble.step > 0 {
			p.trouble.reset()
		}
		if len(it.events) > 0 {
			l.Observer.Delivered(it.age + since)
		}
		if it.left {
			l.gone = append(l.gone, access.Departure{Room: l.rooms[it.room].ID, Seq: it.seq})
		}
	}
}

// retryLater puts off a batch that did not get through. One of several rooms does
// not tell which room is at fault: each then travels alone, at once. A room that
// keeps failing alone is given back to the database, while the lane's other rooms
// go on.
func (l *lane) retryLater(batch []item, err error) (goOn bool) {
	room := batch[0].room
	if batch[len(batch)-1].room != room {
		for _, it := range batch {
			l.progress[it.room].trouble = backoff{step: 1}
		}
		return !l.health.failed("", err)
	}
	p, id := &l.progress[room], l.rooms[room].ID
	p.trouble.next(roomBackoff)
	l.Log.Warn("not accepted, will try again", slog.String("room", id), slog.Int64("seq", batch[0].seq),
		slog.Int("attempt", p.trouble.step), slog.Any("err", err))
	if p.trouble.step > roomTries || p.trouble.until.After(l.deadline) {
		p.over, p.given = true, l.health.giveUp(id)
	}
	return !l.health.failed(id, err)
}

// isolate deals with a batch that Pusher refuses as such: the halves are sent in
// order until the guilty event stands alone, and only that one is parked.
func (l *lane) isolate(ctx context.Context, batch []item, err error) bool {
	if len(batch) == 1 {
		return l.park(ctx, batch[0], err)
	}
	half := len(batch) / 2
	first := append([]item(nil), batch[:half]...) // the lane's own slice is reused below
	rest := append([]item(nil), batch[half:]...)
	if !l.send(ctx, first) {
		return false
	}
	if !l.done(first) {
		return true // put off: what follows waits, too
	}
	return l.send(ctx, rest)
}

// done reports whether every item was settled.
func (l *lane) done(batch []item) bool {
	for _, it := range batch {
		if l.progress[it.room].sent < it.seq {
			return false
		}
	}
	return true
}

// park notes why an event can never be sent, and passes over it. It keeps its
// seq: clients see the gap and fetch it over HTTP.
func (l *lane) park(ctx context.Context, it item, reason error) bool {
	room := l.rooms[it.room]
	ctx, cancel := context.WithDeadline(ctx, l.deadline.Add(leaseMargin/2))
	defer cancel()
	held, err := l.Outbox.Park(ctx, room.ID, room.Fence, it.seq, reason.Error())
	if err != nil || !held {
		l.Log.Warn("could not park, will try again", slog.String("room", room.ID), slog.Int64("seq", it.seq), slog.Any("err", err))
		l.progress[it.room].over, l.progress[it.room].given = true, time.Second
		return true
	}
	l.Observer.Parked(parkReason(reason))
	l.Log.Error("parked: pusher will never take this event", slog.String("room", room.ID), slog.Int64("seq", it.seq), slog.Any("err", reason))
	it.events = nil
	l.settle([]item{it})
	return true
}
