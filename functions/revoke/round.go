package revoke

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"roomcast/shared/access"
	"roomcast/shared/backoff"
)

const (
	roundUsers = 256              // claimed at once
	roundLease = 15 * time.Second // of what is claimed, longer than a round takes
	pollEvery  = 5 * time.Second  // for what other relays left behind
	giveUpAt   = 250              // attempts
)

var (
	// secondBackoff is capped at 5 s for the first quarter of an hour: the room may be
	// waiting for it.
	secondBackoff = backoff.Span{First: 500 * time.Millisecond, Most: 5 * time.Second}
	lateBackoff   = backoff.Span{First: 5 * time.Second, Most: 15 * time.Minute}
	roundBackoff  = backoff.Span{First: 100 * time.Millisecond, Most: 5 * time.Second}
)

const lateAfter = 180 // attempts under secondBackoff

// Poll begins a round of second disconnects if one is due and none is under way. It
// does not wait for it.
func (r *Revoker) Poll(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.round != nil || time.Now().Before(r.nextAt) {
		return
	}
	done, now := make(chan struct{}), time.Now()
	r.round, r.nextAt = done, r.waiting.nextDue(now, now.Add(pollEvery))
	go func() {
		defer close(done)
		r.runRound(ctx)
		r.mu.Lock()
		r.round = nil
		r.mu.Unlock()
	}()
}

// NextAt is when Poll has something to do.
func (r *Revoker) NextAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.round != nil {
		return time.Now().Add(pollEvery)
	}
	return r.nextAt
}

// Busy reports whether a round is under way.
func (r *Revoker) Busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.round != nil
}

// Stop waits for the round under way.
func (r *Revoker) Stop() {
	r.mu.Lock()
	round := r.round
	r.mu.Unlock()
	if round != nil {
		<-round
	}
}

// Finish makes the disconnects that are due before a deadline, waiting for the grace to
// pass, before a relay goes where nothing runs any more. What fails is left to the sweep.
func (r *Revoker) Finish(ctx context.Context, deadline time.Time) {
	if soon := time.Now().Add(Grace + overdueBy); soon.Before(deadline) {
		deadline = soon
	}
	for ctx.Err() == nil && r.failures() == 0 {
		r.Stop()
		at := r.NextAt()
		if !at.Before(deadline) {
			break
		}
		backoff.Sleep(ctx, time.Until(at))
		r.Poll(ctx)
	}
	r.Stop()
}

func (r *Revoker) failures() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// soon moves the next round ahead.
func (r *Revoker) soon(in time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := time.Now().Add(in); at.Before(r.nextAt) {
		r.nextAt = at
	}
}

// runRound claims the users whose second disconnect is due, disconnects them, and tells
// the database. What other relays have done meanwhile holds no room any more.
func (r *Revoker) runRound(ctx context.Context) {
	var claimed []access.Revocation
	if !r.ask(ctx, func(ctx context.Context) (err error) {
		claimed, err = r.Store.ClaimRevocations(ctx, roundUsers, roundLease)
		return err
	}) {
		return
	}
	if len(claimed) > 0 {
		r.disconnectAgain(ctx, claimed)
	}
	r.forgetConfirmed(ctx)
}

func (r *Revoker) disconnectAgain(ctx context.Context, claimed []access.Revocation) {
	confirmed := make([]access.Confirmation, len(claimed))
	inParallel(len(claimed), func(i int) {
		confirmed[i] = access.Confirmation{Revocation: claimed[i], Wait: r.again(ctx, claimed[i])}
	})
	r.ask(ctx, func(ctx context.Context) error { return r.Store.ConfirmRevocations(ctx, confirmed) })
	for _, c := range confirmed {
		r.soon(c.Wait) // at once without a wait: there may be more than one batch
	}
}

// forgetConfirmed forgets those whose disconnect is due and that the database has no more:
// another relay has claimed and confirmed it.
func (r *Revoker) forgetConfirmed(ctx context.Context) {
	asked := time.Now()
	users := r.waiting.dueUsers(asked)
	if len(users) == 0 {
		return
	}
	var pending []string
	if r.ask(ctx, func(ctx context.Context) (err error) {
		pending, err = r.Store.PendingRevocations(ctx, users)
		return err
	}) {
		r.waiting.forget(slices.DeleteFunc(users, func(user string) bool { return slices.Contains(pending, user) }), asked)
	}
}

// again makes a user's second disconnect and returns how long to wait for the next
// attempt, zero for none.
func (r *Revoker) again(ctx context.Context, c access.Revocation) time.Duration {
	began := time.Now()
	err := r.disconnect(ctx, c.UserID, began)
	if err == nil {
		r.waiting.confirm(c.UserID, began)
		return 0
	}
	var limited limitedError
	if errors.As(err, &limited) {
		return limited.wait
	}
	if c.Tries >= giveUpAt {
		r.Observe("given up")
		r.Log.Error("a user who left a room could not be disconnected and may still hear it; given up",
			slog.Int("attempt", c.Tries), slog.Any("err", err))
		r.waiting.confirm(c.UserID, began)
		return 0
	}
	wait := secondBackoff.Wait(c.Tries)
	if c.Tries > lateAfter {
		wait = lateBackoff.Wait(c.Tries - lateAfter)
	}
	r.Log.Warn("a user who left a room could not be disconnected; will try again",
		slog.Int("attempt", c.Tries), slog.Any("err", err))
	return wait
}

// ask makes one call to the database and backs off while it does not answer. It logs
// the first failure of several.
func (r *Revoker) ask(ctx context.Context, call func(context.Context) error) bool {
	limited, cancel := context.WithTimeout(ctx, dbLimit)
	defer cancel()
	err := call(limited)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.failed = 0
		return true
	}
	if r.failed++; r.failed == 1 && ctx.Err() == nil {
		r.Log.Warn("revocations: the database does not answer; will try again", slog.Any("err", err))
	}
	r.nextAt = time.Now().Add(roundBackoff.Wait(r.failed))
	return false
}
