package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"roomcast/infra/load/peers/least"
)

// leastNote says what the peer is, and what a quicker one makes of the same work.
func leastNote(rounds int, share, rate float64) string {
	return fmt.Sprintf("Median of the ratios of %d rounds in turns, until nothing waits. The least program (peers/least) selects %s rows, posts them in tens, %d calls at once, and deletes them; it numbers nothing, keeps no order and leases nothing. With these three side by side it makes %s rows/s, of which the relay's are %.2f.",
		rounds, count(least.Fetch), least.Posters, count(rate), share)
}

// oneInFlight posts full batches one after another, and nothing else.
func (l *lab) oneInFlight(ctx context.Context, events int) float64 {
	push := least.NewPusher(l.sink.addr, appID, appKey, appSecret, 1)
	batch := make([]least.Event, 10)
	for i := range batch {
		batch[i] = least.Event{Channel: "private-room-hot", Name: "new-message", Data: `{"content":"` + strings.Repeat("x", 300) + `"}`}
	}
	start := time.Now()
	for range events / len(batch) {
		check(push.Batch(ctx, batch))
	}
	return perSecond(events, time.Since(start))
}

const fillLeastSQL = `insert into public.least_outbox (room, record)
	select room_id::text, jsonb_build_object('id', id, 'room_id', room_id, 'user_id', user_id, 'content', content, 'created_at', created_at)
	  from public.messages order by created_at desc limit $1`

// fillLeast gives the least program the same records.
func (db *database) fillLeast(ctx context.Context, rows int) {
	must(db.pool.Exec(ctx, fillLeastSQL, rows))
	db.quiesce(ctx)
}

// drainLeast does the same with the least program.
func (l *lab) drainLeast(ctx context.Context, db *database, rows int, extra ...string) (d drained) {
	path := l.binary(ctx, "infra/load/peers/drain")
	p := l.spawn("least drain", slices.Concat(l.sink.environment(), []string{"DATABASE_URL=" + db.relay}, extra), path)
	p.says("ready")
	db.fillLeast(ctx, rows)
	start := time.Now()
	must(fmt.Fprintln(p.stdin))
	p.says(fmt.Sprintf("done %d\n", rows))
	d.rate = perSecond(rows, time.Since(start))
	d.account(ctx, db, []*program{p}, rows)
	l.say("  least program: %s rows/s; CPU per row: %s, and %s in Postgres", count(d.rate), us1(d.program), us1(d.postgres))
	check(p.stop())
	return d
}
