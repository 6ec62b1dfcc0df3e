package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"roomcast/functions/relay"
	"roomcast/infra/load/peers/least"
	"roomcast/shared/event"
	"roomcast/shared/outbox"
)

const functionGCPercent = 200 // gcPercent of functions/main.go

// counting: the same backlog into a publisher that only counts: what claim,
// translation and ack cost. Both run in this process, which collects garbage as seldom as the
// function does.
func counting(ctx context.Context, l *lab, db *database) {
	defer debug.SetGCPercent(debug.SetGCPercent(functionGCPercent))
	rows := l.pick(backlog, backlog/10)
	all := inTurns(l.pick(3, 1),
		func(int) float64 { return l.countRelay(ctx, db, rows) },
		func(int) float64 { return l.countLeast(ctx, db, rows, false) },
		func(int) float64 { return l.countLeast(ctx, db, rows, true) })
	share, rate := medianRatio(all[0], all[1]), median(all[0])
	l.found(result{
		what:    "the same into a publisher that only counts",
		reached: fmt.Sprintf("%s rows/s, %.2f of the least program's %s", count(rate), share, count(median(all[1]))),
		target:  "≥ 0.5 of the least program",
		met:     share >= 0.5,
		note:    leastNote(len(all[0]), medianRatio(all[0], all[2]), median(all[2])),
	})
}

// relayHere is the hot loop as the function runs it, with the sink for its publisher: what is
// published is counted and goes over no connection.
func (l *lab) relayHere(box *outbox.DB) *relay.Relay {
	return relay.New(relay.Config{
		Name: "load", Outbox: box, Publisher: l.sink, Channels: []event.ChannelKind{event.Private}, Log: slog.New(slog.DiscardHandler),
	})
}

// countRelay runs the hot loop as the function does, but for Pusher.
func (l *lab) countRelay(ctx context.Context, db *database, rows int) float64 {
	db.fill(ctx, rows, backlogRooms)
	box := must(outbox.Open(db.relay, 4)) // the function's own relayConns
	defer box.Close()
	check(box.Ping(ctx)) // connecting is not draining
	all := l.sink.expect(rows)
	r := l.relayHere(box)
	defer l.profileHere("counting")()
	start := time.Now()
	go r.Run(ctx) // Drain waits for it
	must(all(ctx))
	db.untilEmpty(ctx)
	rate := perSecond(rows, time.Since(start))
	check(r.Drain(ctx))
	return rate
}

func (l *lab) countLeast(ctx context.Context, db *database, rows int, overlap bool) float64 {
	db.fillLeast(ctx, rows)
	all := l.sink.expect(rows)
	d := least.Drainer{
		Pool: db.pool, Fetch: least.Fetch, Posters: least.Posters, Overlap: overlap,
		Publish: func(_ context.Context, events []least.Event) error {
			l.sink.accept(int64(len(events)), nil)
			return nil
		},
	}
	start := time.Now()
	must(d.Run(ctx))
	rate := perSecond(rows, time.Since(start))
	must(all(ctx))
	return rate
}
