package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"roomcast/infra/load/peers/least"
)

// callTime is what one Pusher call takes in these scenarios.
const callTime = 20 * time.Millisecond

// slow: the same with 20 ms for each Pusher call: lanes must overlap.
func slow(ctx context.Context, l *lab) (results []result, err error) {
	return results, l.with(ctx, func(db *database) error {
		l.sink.delay.Store(int64(callTime))
		rows := l.pick(backlog, backlog/10)
		var rates []float64
		for range l.pick(2, 1) {
			d, err := l.drainRelay(ctx, db, rows, backlogRooms, "slow")
			if err != nil {
				return err
			}
			rates = append(rates, d.rate)
		}
		rate := quantile(rates, 0) // of two, the slower
		results = append(results, result{
			what:    "the same with 20 ms per Pusher call",
			reached: count(rate) + " events/s",
			target:  "≥ 10,000 events/s",
			met:     rate >= 10_000,
		})
		return nil
	})
}

// hotRoom: one room, where order allows one batch in flight.
func hotRoom(ctx context.Context, l *lab) (results []result, err error) {
	return results, l.with(ctx, func(db *database) error {
		l.sink.delay.Store(int64(callTime))
		rows := l.pick(2000, 400)
		var ours, limit []float64
		for range l.pick(2, 1) {
			a, err := l.drainRelay(ctx, db, rows, 1, "hot")
			if err != nil {
				return err
			}
			b, err := l.oneInFlight(ctx, rows)
			if err != nil {
				return err
			}
			ours, limit = append(ours, a.rate), append(limit, b)
		}
		share := medianRatio(ours, limit)
		results = append(results, result{
			what:    "one hot room, 20 ms per call",
			reached: fmt.Sprintf("%s events/s, %.2f of the limit of %s", count(median(ours)), share, count(median(limit))),
			target:  "≥ 0.9 of one batch in flight",
			met:     share >= 0.9,
			note:    "The limit is measured: batches of ten of the same size, each posted when the last was accepted.",
		})
		return nil
	})
}

// oneInFlight posts full batches one after another, and nothing else.
func (l *lab) oneInFlight(ctx context.Context, events int) (float64, error) {
	push := least.NewPusher(l.sink.addr, appID, appKey, appSecret, 1)
	batch := make([]least.Event, 10)
	for i := range batch {
		batch[i] = least.Event{Channel: "private-room-hot", Name: "new-message", Data: `{"content":"` + strings.Repeat("x", 300) + `"}`}
	}
	start := time.Now()
	for range events / len(batch) {
		if err := push.Batch(ctx, batch); err != nil {
			return 0, err
		}
	}
	return perSecond(events, time.Since(start)), nil
}
