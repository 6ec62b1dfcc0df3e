package relay

import (
	"context"
	"log/slog"
	"time"
)

// logEvery: of the failures of one room only one in so many is logged, about one a minute.
const logEvery = 12

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
		departed, since := p.left, w.held.since(w.rooms[i], p.left, w.claimed)
		go func() {
			ctx, cancel := context.WithDeadline(ctx, w.deadline) // other rooms wait for this worker's ack
			defer cancel()
			wait, err := w.Revoker.Revoke(ctx, departed, since)
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
	p.retry.Fail(revokeBackoff)
	if p.retry.Step > holdTries || p.retry.Until.After(w.deadline) || r.wait > revokeBackoff.Most {
		p.given = revokeBackoff.Wait(step)
		p.retry.Until = w.deadline.Add(time.Hour) // not again in this assignment
	}
}

// awaitRevoked waits for the answers under way.
func (w *worker) awaitRevoked() {
	for w.revoking > 0 {
		w.answer(<-w.revoked)
	}
}
