package relay

import (
	"context"
	"log/slog"
	"time"
)

// wait sleeps until something is to be done: a worker is done, a webhook comes, the
// next poll or renewal is due.
func (l *loop) wait(ctx context.Context) {
	l.watchBeside(ctx)
	_, until := l.allowance()
	if until.After(l.renewAt) {
		until = l.renewAt
	}
	if resumes, _ := l.health.next(); l.numberAt.Before(until) && time.Now().Before(resumes) {
		until = l.numberAt
	}
	if until.Before(l.answers.Until) {
		until = l.answers.Until
	}
	timer := time.NewTimer(max(0, time.Until(until)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.leaving.Done():
	case out := <-l.results:
		l.finished(out)
		l.finishedMore()
	case c := <-l.claims:
		l.claimed(ctx, c)
	case <-l.watched():
		l.endWatch()
	case <-l.wake:
		l.lastRow = time.Now() // a writer saw the lease over: take it again
		l.renewAt = time.Time{}
	case <-timer.C:
	}
}

// finishedMore takes the results that are there already, so that one ack tells all.
func (l *loop) finishedMore() {
	for {
		select {
		case out := <-l.results:
			l.finished(out)
		default:
			return
		}
	}
}

// lingering: has there been a row, or is one waiting, so recently that more may
// come? Past that the awake lease is left to lapse.
func (l *loop) lingering() bool {
	return l.underWay > 0 || l.health.paused() || time.Since(l.lastRow) < l.Linger
}

func (l *loop) revokerBusy() bool { return l.Revoker != nil && l.Revoker.Busy() }

func (l *loop) renew(ctx context.Context) {
	if now := time.Now(); !now.Before(l.renewAt) {
		if l.call(ctx, "stay awake", func(ctx context.Context) error { return l.Outbox.StayAwake(ctx, l.AwakeLease) }) {
			l.renewAt = now.Add(l.AwakeLease / 3)
		}
	}
}

// mayRest asks the database, which alone knows whether every lease has lapsed and
// who is still writing. It polls on until the answer is yes.
func (l *loop) mayRest(ctx context.Context) bool {
	if time.Now().Before(l.renewAt) || l.asking > 0 || len(l.acks) > 0 || l.revokerBusy() {
		return false
	}
	rest := false
	l.call(ctx, "may sleep", func(ctx context.Context) (err error) {
		rest, err = l.Outbox.MaySleep(ctx)
		return err
	})
	l.renewAt = time.Now().Add(l.AwakeLease / 4) // do not ask at every poll
	return rest
}

// never is later than any deadline of a loop.
func never() time.Time { return time.Now().Add(time.Hour) }

// call runs one database call under its limit, unless the database did not answer just now.
func (l *loop) call(ctx context.Context, what string, fn func(context.Context) error) bool {
	if !l.answers.Over() {
		return false
	}
	limited, cancel := context.WithTimeout(ctx, l.CallLimit)
	defer cancel()
	return l.answered(ctx, what, fn(limited))
}

// answered notes whether the database answered a call, and keeps the backoff while it does
// not. It says so once, not at every try.
func (l *loop) answered(ctx context.Context, what string, err error) bool {
	if err == nil {
		if l.answers.Step > 0 {
			l.Log.Info("database answers again")
		}
		l.answers.Reset()
		l.failed = nil
		return true
	}
	l.failed = err
	if ctx.Err() != nil || !l.answers.Over() { // told to stop, or out of time: no fault of the database's; or another call's, too
		return false
	}
	l.Observer.DatabaseFailed(what)
	if l.answers.Step == 0 {
		l.Log.Error("database does not answer; rows wait", slog.String("call", what), slog.Any("err", err))
	}
	l.answers.Fail(databaseBackoff)
	return false
}
