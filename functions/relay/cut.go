package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/backoff"
	"roomcast/shared/pusher"
)

// CutGrace is how long after user-left the user's connections are ended.
//
// An answer given before the membership ended may be on its way for a moment: a
// signature for a connection that has yet to sign in, a yes that another machine
// remembers (see authorize.Gate, which forgets sooner than this). A cut at once
// would miss those; one after the grace misses none. With it access ends well
// within the two seconds that are promised.
const CutGrace = time.Second

const (
	cutBatch   = 64               // users claimed at once
	cutLanes   = 16               // calls under way at once
	cutLease   = 15 * time.Second // theirs, longer than a call may take
	cutLook    = 5 * time.Second  // between two looks for what other relays left
	cutGivenUp = 100              // tries, a day's worth
	cutLimit   = 10 * time.Second // of one call
)

var cutBackoff = backoff.Span{First: 500 * time.Millisecond, Most: 15 * time.Minute}

// Terminator ends a user's connections; *pusher.Client is one. Only connections
// that signed in as the user can be found (FACTS.md, Pusher Channels).
type Terminator interface {
	TerminateUser(ctx context.Context, userID string) error
}

var _ Terminator = (*pusher.Client)(nil)

// Cuts is how access ends. Without a Terminator nobody is cut off.
type Cuts struct {
	Terminator Terminator
	// Forget, if set, is told every user who left a room, as soon as that is known:
	// whoever remembers what a user may read must ask again.
	Forget func(userID string)
	// Observe, if set, is told what came of each attempt: accepted, given up, or the
	// class of the failure.
	Observe func(result string)
}

// cutter is a loop's share of the cutting. Like the loop it belongs to one
// goroutine; a batch of calls runs beside it and answers through done.
//
//	user-left accepted ▶ queued in the database ▶ acked … grace … claimed ▶ cut ▶ settled
//
// A user is queued before the room is acked, so that a relay that dies between
// the two repeats both; and once queued, no failure of Pusher's holds up the room.
type cutter struct {
	gone    []access.Departure // accepted, not yet queued
	dueAt   time.Time          // when what was queued last may be cut
	lookAt  time.Time          // when the next claim is due
	calling bool               // a batch is under way
	done    chan []access.Confirmation
	settled []access.Confirmation // not yet told to the database
}

func newCutter() cutter { return cutter{done: make(chan []access.Confirmation, 1)} }

// queueCuts makes departures durable. It reports false when the database does not
// answer: the rooms must not be acked then.
func (l *loop) queueCuts(ctx context.Context) bool {
	if len(l.cuts.gone) == 0 || l.Cuts.Terminator == nil {
		l.cuts.gone = nil
		return true
	}
	return l.call(ctx, "queue cuts", func(ctx context.Context) error {
		users, err := l.Outbox.QueueRevocations(ctx, l.cuts.gone, CutGrace)
		if err != nil {
			return err
		}
		l.cuts.gone = nil
		if l.Cuts.Forget != nil {
			for _, user := range users {
				l.Cuts.Forget(user)
			}
		}
		l.cuts.dueAt = time.Now().Add(CutGrace)
		l.lookSoon(CutGrace)
		return nil
	})
}

func (l *loop) lookSoon(in time.Duration) {
	if at := time.Now().Add(in); at.Before(l.cuts.lookAt) {
		l.cuts.lookAt = at
	}
}

// cut tells the database what came of the last calls and begins the next.
func (l *loop) cut(ctx context.Context) {
	if l.Cuts.Terminator == nil {
		return
	}
	select {
	case settled := <-l.cuts.done:
		l.cutsDone(settled)
	default:
	}
	if l.settleCuts(ctx) && !l.cuts.calling && !time.Now().Before(l.cuts.lookAt) {
		l.claimCuts(ctx)
	}
}

func (l *loop) cutsDone(settled []access.Confirmation) {
	l.cuts.calling = false
	l.cuts.settled = append(l.cuts.settled, settled...)
	for _, s := range settled {
		l.lookSoon(s.Wait) // zero: there may be more than one batch
	}
}

func (l *loop) settleCuts(ctx context.Context) bool {
	if len(l.cuts.settled) == 0 {
		return true
	}
	return l.call(ctx, "settle cuts", func(ctx context.Context) error {
		if err := l.Outbox.ConfirmRevocations(ctx, l.cuts.settled); err != nil {
			return err
		}
		l.cuts.settled = nil
		return nil
	})
}

func (l *loop) claimCuts(ctx context.Context) {
	var cuts []access.Revocation
	if !l.call(ctx, "claim cuts", func(ctx context.Context) (err error) {
		cuts, err = l.Outbox.ClaimRevocations(ctx, cutBatch, cutLease)
		return err
	}) {
		return
	}
	now := time.Now()
	l.cuts.lookAt = now.Add(cutLook)
	if due := l.cuts.dueAt; due.After(now) && due.Before(l.cuts.lookAt) {
		l.cuts.lookAt = due
	}
	if len(cuts) > 0 {
		l.cuts.calling = true
		go func() { l.cuts.done <- l.callAll(ctx, cuts) }()
	}
}

// callAll makes the calls of one batch, a few at a time.
func (r *Relay) callAll(ctx context.Context, cuts []access.Revocation) []access.Confirmation {
	settled := make([]access.Confirmation, len(cuts))
	slots := make(chan struct{}, cutLanes)
	var wg sync.WaitGroup
	for i, c := range cuts {
		slots <- struct{}{}
		wg.Go(func() {
			settled[i] = access.Confirmation{Revocation: c, Wait: r.terminate(ctx, c)}
			<-slots
		})
	}
	wg.Wait()
	return settled
}

// terminate makes one call and returns how long to wait for the next, zero for
// none.
func (r *Relay) terminate(ctx context.Context, c access.Revocation) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, cutLimit)
	defer cancel()
	err := r.Cuts.Terminator.TerminateUser(ctx, c.UserID)
	class := pusher.Classify(err)
	result := class.String()
	wait := time.Duration(0)
	switch {
	case class == pusher.Accepted:
		r.Log.Debug("cut off", slog.Int("attempt", c.Tries))
	case class == pusher.Rejected || c.Tries >= cutGivenUp: // no user of Pusher's has such an id, or nothing helps
		result = "given up"
		r.Log.Error("a user who left a room could not be cut off and may still hear it; given up",
			slog.Int("attempt", c.Tries), slog.Any("err", err))
	default:
		wait = cutBackoff.Wait(c.Tries)
		r.Log.Warn("a user who left a room could not be cut off; will try again",
			slog.Int("attempt", c.Tries), slog.Any("err", err))
	}
	if r.Cuts.Observe != nil {
		r.Cuts.Observe(result)
	}
	return wait
}

// finishCuts cuts what is queued before the loop goes where nothing runs any more:
// it waits for the grace to pass, if the deadline allows. What fails is left to the
// sweep.
func (l *loop) finishCuts(ctx context.Context, deadline time.Time) {
	if l.Cuts.Terminator == nil {
		return
	}
	if soon := time.Now().Add(CutGrace + leaseMargin); soon.Before(deadline) {
		deadline = soon
	}
	for l.failed == nil && (l.cuts.calling || l.cuts.lookAt.Before(deadline)) {
		timer := time.NewTimer(time.Until(l.cuts.lookAt))
		select {
		case settled := <-l.cuts.done:
			l.cutsDone(settled)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil || time.Now().After(deadline) {
			break
		}
		l.cut(ctx)
	}
	l.abandonCuts()
	l.settleCuts(ctx)
}

// abandonCuts waits for calls that are under way.
func (l *loop) abandonCuts() {
	if l.cuts.calling {
		l.cutsDone(<-l.cuts.done)
	}
}
