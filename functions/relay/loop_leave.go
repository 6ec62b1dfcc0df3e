package relay

import (
	"context"
	"errors"
	"time"
)

// finish leaves in order: writers wake a relay from now on, workers finish, and what was
// committed before writers knew is sent, too.
func (l *loop) finish(ctx context.Context) {
	l.answers.Reset() // one try at each, whatever came before
	l.call(ctx, "leave awake", l.Outbox.LeaveAwake)
	l.ackAll(ctx)
	l.pollAt = time.Time{}
	l.claim(ctx, 0)
	l.ackAll(ctx)
	deadline := never()
	if by := l.leaveBy.Load(); by != nil {
		deadline = *by
	}
	l.finishDisconnects(ctx, deadline)
}

// finishDisconnects makes the second disconnects that are due soon.
func (l *loop) finishDisconnects(ctx context.Context, deadline time.Time) {
	if l.Revoker != nil && l.failed == nil {
		l.Revoker.Finish(ctx, deadline)
	}
}

// ackAll waits for what is under way and tells the database.
func (l *loop) ackAll(ctx context.Context) {
	l.finishAll(ctx)
	l.ack(ctx)
}

// finishAll waits for the claims under way and for the workers.
func (l *loop) finishAll(ctx context.Context) {
	for l.asking > 0 || l.underWay > 0 {
		select {
		case c := <-l.claims:
			l.claimed(ctx, c)
		case out := <-l.results:
			l.finished(out)
		}
	}
}

// abandon waits for claims and workers whose context has ended, and tells nobody.
func (l *loop) abandon(ctx context.Context) {
	l.finishAll(ctx)
	if l.Revoker != nil {
		l.Revoker.Stop()
	}
}

// errOutOfTime says that the request ended before all was sent.
var errOutOfTime = errors.New("the request's time is up before pusher or the database answered")

// empty sends all that waits, round after round. When nothing is left it takes a lease
// that is over at once, so that the next writer sends a webhook again, and then claims
// once more for the writers who relied on this one.
func (l *loop) empty(ctx context.Context) error {
	for answered := false; ; {
		if err := ctx.Err(); err != nil {
			l.abandon(ctx)
			return errors.Join(errOutOfTime, l.health.lastError())
		}
		l.pollAt = time.Time{}
		l.claim(ctx, 0)
		if l.underWay > 0 {
			l.ackAll(ctx)
			answered = false
			continue
		}
		if !answered && l.failed == nil {
			l.call(ctx, "answer webhook", func(ctx context.Context) error { return l.Outbox.StayAwake(ctx, 0) })
			answered = true
			continue
		}
		l.finishDisconnects(ctx, never())
		err := errors.Join(l.failed, l.health.reason())
		if err == nil && l.putOff {
			return errPutOff
		}
		return err
	}
}

// cleanEvery and cleanRuns pace the retention: a little, now and then, while the
// loop is awake anyway.
const (
	cleanEvery = 10 * time.Second
	cleanRuns  = 200
)

func (l *loop) clean(ctx context.Context) {
	if now := time.Now(); now.After(l.cleanAt) {
		l.cleanAt = now.Add(cleanEvery)
		l.call(ctx, "clean", func(ctx context.Context) error {
			_, err := l.Outbox.Clean(ctx, cleanRuns)
			return err
		})
	}
}
