package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"roomcast/functions/relay"
	"roomcast/infra/load/peers/least"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/pusher"
)

// counter is a Pusher that only counts, and says when it has counted enough.
type counter struct {
	events atomic.Int64
	want   int64
	enough chan struct{} // closed when all are counted
}

func newCounter(want int) *counter {
	return &counter{want: int64(want), enough: make(chan struct{})}
}

var _ relay.Publisher = (*counter)(nil)

// PublishBatch counts.
func (c *counter) PublishBatch(_ context.Context, events []pusher.Event) error {
	c.count(len(events))
	return nil
}

func (c *counter) count(n int) {
	if total := c.events.Add(int64(n)); total >= c.want && total-int64(n) < c.want {
		close(c.enough)
	}
}

func (c *counter) wait(ctx context.Context) error {
	select {
	case <-c.enough:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %d of %d", errShort, c.events.Load(), c.want)
	}
}

// counting: the same backlog into a publisher that only counts: what claim,
// translation and ack cost. Both run in this process.
func counting(ctx context.Context, l *lab, db *database) {
	rows := l.pick(backlog, backlog/10)
	all := inTurns(l.pick(3, 1),
		func(int) float64 { return l.countRelay(ctx, db, rows) },
		func(int) float64 { return countLeast(ctx, db, rows, false) },
		func(int) float64 { return countLeast(ctx, db, rows, true) })
	share, rate := medianRatio(all[0], all[1]), median(all[0])
	l.found(result{
		what:    "the same into a publisher that only counts",
		reached: fmt.Sprintf("%s rows/s, %.2f of the least program's %s", count(rate), share, count(median(all[1]))),
		target:  "≥ 0.5 of the least program",
		met:     share >= 0.5,
		note:    leastNote(len(all[0]), medianRatio(all[0], all[2]), median(all[2])),
	})
}

// relayInto is the hot loop as the function runs it, with another publisher.
func relayInto(box *outbox.DB, publisher relay.Publisher) *relay.Relay {
	return relay.New(relay.Config{
		Name: "load", Outbox: box, Publisher: publisher, Channels: []event.ChannelKind{event.Private}, Log: slog.New(slog.DiscardHandler),
	})
}

// countRelay runs the hot loop as the function does, but for Pusher.
func (l *lab) countRelay(ctx context.Context, db *database, rows int) float64 {
	db.fill(ctx, rows, backlogRooms)
	box := must(outbox.Open(db.relay, 4)) // the function's own relayConns
	defer box.Close()
	check(box.Ping(ctx)) // connecting is not draining
	c := newCounter(rows)
	r := relayInto(box, c)
	defer l.profileHere("counting")()
	start := time.Now()
	go r.Run(ctx) // Drain waits for it
	check(c.wait(ctx))
	db.untilEmpty(ctx)
	rate := perSecond(rows, time.Since(start))
	check(r.Drain(ctx))
	return rate
}

func countLeast(ctx context.Context, db *database, rows int, overlap bool) float64 {
	db.fillLeast(ctx, rows)
	c := newCounter(rows)
	d := least.Drainer{
		Pool: db.pool, Fetch: least.Fetch, Posters: least.Posters, Overlap: overlap,
		Publish: func(_ context.Context, events []least.Event) error {
			c.count(len(events))
			return nil
		},
	}
	start := time.Now()
	must(d.Run(ctx))
	rate := perSecond(rows, time.Since(start))
	check(c.wait(ctx))
	return rate
}
