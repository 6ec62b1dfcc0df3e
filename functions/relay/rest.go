package relay

import (
	"context"
	"time"
)

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
	if time.Now().Before(l.renewAt) || len(l.acks) > 0 || l.revokerBusy() {
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
