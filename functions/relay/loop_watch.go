package relay

import (
	"context"
	"time"
)

// While workers are busy the loop does not wait in the database as AwaitClaim does, since
// their results must not wait. A watch waits there beside them, on a connection of its own,
// and until it answers nothing is claimed but behind a result, whose ack may let a room go
// on. A poll every few milliseconds would cost the relay a tenth of a core in a chat whose
// calls to Pusher take 20 ms, which is more than the smallest machine has.

// watchMost is how long a watch waits. What it does not see, such as a room that another
// relay gives back, is claimed so late.
const watchMost = 50 * time.Millisecond

// watch is a call of the database that says when a claim would find something.
type watch struct {
	answered chan struct{}
	ends     time.Time // when it has answered, if the database does in time
	cancel   context.CancelFunc
}

// mayWatch: are workers busy, and is nothing else known to wait?
func (l *loop) mayWatch() bool { return l.underWay > 0 && !l.full && !l.claimDue }

// watchBeside begins a watch if there is none and it may be waited for.
func (l *loop) watchBeside(ctx context.Context) {
	limits, at := l.allowance()
	if l.watch != nil || !l.mayWatch() || limits.Rows < l.Claim.Rows || !at.Equal(l.pollAt) || !l.answers.Over() {
		return
	}
	now := time.Now()
	limited, cancel := context.WithTimeout(ctx, l.CallLimit)
	w := &watch{answered: make(chan struct{}), ends: now.Add(2 * watchMost), cancel: cancel}
	every := pollAfter(now.Sub(l.lastRow), quickWait)
	go func() {
		defer close(w.answered)
		_, _ = l.Outbox.Await(limited, watchMost, every) // the claim behind it says what is wrong
	}()
	l.watch = w
}

// behindWatch puts a claim that is due at a time off until the watch has answered.
func (l *loop) behindWatch(at time.Time) time.Time {
	if l.watch != nil && l.mayWatch() && l.watch.ends.After(at) {
		return l.watch.ends
	}
	return at
}

// watched is closed when the watch under way has answered.
func (l *loop) watched() <-chan struct{} {
	if l.watch == nil {
		return nil
	}
	return l.watch.answered
}

// endWatch ends the watch under way and waits for that.
func (l *loop) endWatch() {
	if l.watch != nil {
		l.watch.cancel()
		<-l.watch.answered
		l.watch, l.claimDue = nil, true
	}
}
