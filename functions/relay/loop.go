package relay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"roomcast/shared/backoff"
	"roomcast/shared/outbox"
)

// The pace of polling: fast after a row, because traffic is bursty, then slower and
// slower. While nothing is under way the database does the polling, which costs a fraction
// of a claim and so is done more often; it answers after awaitMost at the latest, so that
// the loop can do its other work.
const (
	quickPoll = 3 * time.Millisecond
	quickWait = time.Millisecond       // between two checks inside the database
	quickFor  = 700 * time.Millisecond // after the last row
	slowPoll  = 100 * time.Millisecond
	awaitMost = 400 * time.Millisecond
)

// After quickFor the pause between two polls widens by a part of the time that passes:
// slowly at first, up to 7 ms, since a chat of one message a second is silent for 4.6 s once
// in a hundred times; then it stays so, and widens again from steadyFor on.
const (
	quickShare = 400
	quickUntil = 3 * time.Second
	steadyFor  = 5 * time.Second
	slowShare  = 130
)

// pollAfter is the pause between two polls when there has been no row for so long.
func pollAfter(quiet, quick time.Duration) time.Duration {
	return min(quick+max(0, min(quiet, quickUntil)-quickFor)/quickShare+max(0, quiet-steadyFor)/slowShare, slowPoll)
}

// loop is one time of being awake. Only its own goroutine touches it; workers
// answer through results.
type loop struct {
	*Relay
	results chan outcome
	slots   chan struct{} // one per worker
	claims  chan claim    // answered

	asking   int          // claims that are not answered
	underWay int          // assignments of workers
	rows     int          // rows in them
	bytes    int          // of these rows' records
	brought  int          // bytes of the last claim's
	total    int          // rows since the loop began
	acks     []outbox.Ack // not yet told to the database

	asked   bool          // a claim was answered since the loop began
	full    bool          // the last claim left rows behind, or may have
	lastRow time.Time     // when the last row was claimed, or the loop began
	renewAt time.Time     // when the awake lease is to be moved ahead
	pollAt  time.Time     // when the next claim is due
	answers backoff.Timer // while the database does not answer
	failed  error         // its last error, until it answers again
	cleanAt time.Time
	// numberAt is when rows are numbered again, while nothing is claimed.
	numberAt time.Time
	putOff   bool // some room was given back, to be tried later

	watch    *watch // under way; nil: none
	claimDue bool   // since a result or a watch said that a claim may find something
}

// errPutOff says that a room's events were not accepted, though others' were.
var errPutOff = errors.New("some rooms are to be tried again later")

func newLoop(r *Relay) *loop {
	now := time.Now()
	return &loop{
		Relay:   r,
		results: make(chan outcome),
		claims:  make(chan claim),
		slots:   make(chan struct{}, r.Workers),
		lastRow: now,
		cleanAt: now.Add(cleanEvery),
	}
}

// run is the hot loop: it polls until it may rest or has to leave.
func (l *loop) run(ctx context.Context) {
	l.Log.Info("relay wakes")
	began := time.Now()
	l.Observer.Woke()
	defer l.endWatch()
	woken := false
	for ctx.Err() == nil {
		if l.leaving.Err() != nil {
			l.finish(ctx)
			return
		}
		switch {
		case !woken:
			woken = l.call(ctx, "wake", func(ctx context.Context) error { return l.Outbox.StartAwake(ctx, l.AwakeLease, l.Place) })
			l.renewAt = time.Now().Add(l.AwakeLease / 3)
		case l.lingering():
			l.renew(ctx)
		case l.mayRest(ctx):
			l.Log.Info("relay sleeps", slog.Duration("awake", time.Since(began)), slog.Int("rows", l.total))
			return
		}
		if woken {
			l.turn(ctx)
		}
		l.wait(ctx)
	}
	l.abandon(ctx)
}

// turn tells the database what is done and asks it for more.
func (l *loop) turn(ctx context.Context) {
	l.ack(ctx)
	if len(l.acks) > 0 { // the database is away
		return
	}
	l.assignSeqs(ctx)
	if patience := l.patience(); patience > 0 || !l.asked {
		l.claim(ctx, patience) // the first over the connection that is there: beside it a disconnect would take that
	} else {
		l.claimBeside(ctx)
	}
	if l.Revoker != nil {
		l.Revoker.Poll(ctx)
	}
	l.clean(ctx)
}

// patience is how long the database may wait for rows before it claims. While workers are
// busy it is 0, since their results must not wait, and at first, since rows mostly wait.
func (l *loop) patience() time.Duration {
	limits, at := l.allowance()
	now := time.Now()
	probing := limits.Rows < l.Claim.Rows // of a Pusher in trouble, with rows that are known to wait
	if !l.asked || l.full || l.underWay > 0 || l.asking > 0 || probing || now.Before(at) {
		return 0
	}
	patience := min(awaitMost, l.renewAt.Sub(now))
	if l.Revoker != nil {
		patience = min(patience, l.Revoker.NextAt().Sub(now))
	}
	return max(0, patience)
}

// assignSeqs numbers new rows while Pusher may not be asked. Otherwise a claim does so;
// without a number a row is in no room's history, and pages fetch that meanwhile.
func (l *loop) assignSeqs(ctx context.Context) {
	now := time.Now()
	if resumes, _ := l.health.next(); !now.Before(resumes) || now.Before(l.numberAt) {
		return
	}
	l.call(ctx, "assign seqs", l.Outbox.AssignSeqs)
	l.numberAt = now.Add(numberEvery)
}

// ack tells the database what workers have done. What it cannot tell now it keeps
// and tells later: the fence says whether that still counts.
func (l *loop) ack(ctx context.Context) {
	if len(l.acks) == 0 || !l.answers.Over() {
		return
	}
	acks := l.acks
	l.call(ctx, "ack", func(ctx context.Context) error {
		refused, err := l.Outbox.Ack(ctx, acks)
		if err != nil {
			return err
		}
		l.acks = nil
		for _, room := range refused {
			l.Observer.LeaseLost()
			l.Log.Warn("lease lost: another relay sends these again", slog.String("room", room))
		}
		return nil
	})
}

// work runs one assignment in a worker and reports what came of it.
func (l *loop) work(ctx context.Context, a assignment) {
	l.slots <- struct{}{}
	out := newWorker(l.Relay, a).run(ctx)
	<-l.slots
	l.results <- out
}

// finished counts a worker's assignment as done, and keeps its acks.
func (l *loop) finished(out outcome) {
	l.underWay--
	l.claimDue = true
	l.rows -= out.rows
	l.bytes -= out.bytes
	l.acks = append(l.acks, out.acks...)
	for _, ack := range out.acks {
		if ack.Wait > 0 {
			l.putOff = true
		}
	}
	if l.underWay == 0 {
		l.pollAt = time.Time{} // the database can wait for rows from now on
	}
}
