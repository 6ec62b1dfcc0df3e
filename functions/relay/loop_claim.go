package relay

import (
	"context"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
)

// Claims. While nothing is under way the loop itself waits for one, and the database for
// rows. Otherwise claims are answered beside it, so that what workers have done is acked
// meanwhile; while there is a backlog, one claim beside another, since one session of the
// database keeps no more than one core busy.

// maxBytes bounds the records that workers have before them, as one claim's rows bound those;
// so no more than two claims are under way.
// A claim brings about claimBytes at most, or a row of each of its rooms: these and one claim
// more is what they hold together.
const (
	maxBytes   = 8 << 20
	claimBytes = 4 << 20
)

// claim is one that the database was asked for, and its answer.
type claim struct {
	limits  outbox.Limits
	asked   time.Time
	waited  bool // in the database, for rows
	rooms   []outbox.Room
	arrived time.Time
	err     error
}

// claim takes more rows if workers can use them, and assigns them. With patience the
// database waits for some first.
func (l *loop) claim(ctx context.Context, patience time.Duration) {
	limits, at := l.allowance()
	if time.Now().Before(at) || !l.answers.Over() {
		return
	}
	l.claimDue = false
	l.asking++
	l.claimed(ctx, l.ask(ctx, limits, patience, l.lastRow))
}

// claimBeside asks for more rows, and does not wait for the answer.
func (l *loop) claimBeside(ctx context.Context) {
	for {
		limits, at := l.allowance()
		if time.Now().Before(at) || !l.answers.Over() {
			return
		}
		l.claimDue = false
		l.asking++
		lastRow := l.lastRow
		go func() { l.claims <- l.ask(ctx, limits, 0, lastRow) }()
	}
}

// ask is one call of the database. It touches nothing of the loop's own.
func (r *Relay) ask(ctx context.Context, limits outbox.Limits, patience time.Duration, lastRow time.Time) claim {
	ctx, cancel := context.WithTimeout(ctx, r.CallLimit)
	defer cancel()
	c := claim{limits: limits, asked: time.Now(), waited: patience > 0}
	if c.waited {
		c.rooms, c.err = r.Outbox.AwaitClaim(ctx, patience, pollAfter(c.asked.Sub(lastRow), quickWait), r.Name, limits)
	} else {
		c.rooms, c.err = r.Outbox.Claim(ctx, r.Name, limits)
	}
	c.arrived = time.Now()
	return c
}

// claimed assigns what a claim brought.
func (l *loop) claimed(ctx context.Context, c claim) {
	l.asking--
	if !l.answered(ctx, "claim", c.err) {
		return
	}
	l.asked = true
	rows, bytes := sizeOf(c.rooms)
	fromChat := rows - canariesOf(c.rooms)
	took := c.arrived.Sub(c.asked)
	if c.waited { // most of it
		took = 0
	}
	l.Observer.Claimed(fromChat, took)
	if fromChat > 0 {
		l.lastRow = c.arrived
	}
	if rows > 0 {
		l.rows += rows
		l.bytes += bytes
		l.total += rows
		for _, a := range assign(c.rooms, l.Workers) {
			a.claimed, a.deadline = c.arrived, c.asked.Add(c.limits.Lease-leaseMargin)
			l.underWay++
			go l.work(ctx, a)
		}
	}
	l.brought = bytes
	l.full = rows >= c.limits.Rows/2
	l.pollAt = c.arrived.Add(pollAfter(c.arrived.Sub(l.lastRow), quickPoll))
	if l.full || l.claimDue && l.underWay == 0 {
		l.pollAt = time.Time{}
	}
}

// allowance says how much may be claimed and not before when: nothing until a worker
// is done while they have enough before them, nothing beside a claim under way unless the
// last one left rows behind, nothing while Pusher is paused, a little to try a Pusher that
// just failed.
func (l *loop) allowance() (limits outbox.Limits, at time.Time) {
	limits, at = l.Claim, l.pollAt
	if l.rows+l.asking*limits.Rows > limits.Rows || l.bytes+l.asking*max(claimBytes, l.brought) > maxBytes {
		return limits, never()
	}
	resumes, step := l.health.next()
	switch {
	case l.asking > 0 && (!l.full || step > 0):
		return limits, never()
	case step == 0:
		return limits, l.behindWatch(at)
	case l.underWay > 0:
		return limits, never()
	}
	limits.Rows, limits.PerRoom = probeRows, 1
	return limits, resumes
}

// sizeOf counts rows, and the bytes of their records.
func sizeOf(rooms []outbox.Room) (rows, bytes int) {
	for i := range rooms {
		rows += len(rooms[i].Rows)
		for j := range rooms[i].Rows {
			bytes += len(rooms[i].Rows[j].Change.Record) + len(rooms[i].Rows[j].Change.Old)
		}
	}
	return rows, bytes
}

// canariesOf counts the rows that are no reason to stay awake.
func canariesOf(rooms []outbox.Room) (rows int) {
	for i := range rooms {
		if rooms[i].ID == event.CanaryKey {
			rows += len(rooms[i].Rows)
		}
	}
	return rows
}
