package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"roomcast/shared/outbox"
)

const (
	keptRows  = 1_000_000
	keptRooms = 500
	// keptAtOnce are written and sent together. It is also what is there before: an
	// outbox in use whose rows are numbered in runs of the same length.
	keptAtOnce = 50_000
)

// retention: the same questions before and after a million sent rows are kept.
func retention(ctx context.Context, l *lab, db *database) {
	box := must(outbox.Open(db.relay, 4))
	defer box.Close()
	rows := l.pick(keptRows, 2*keptAtOnce)
	l.keep(ctx, db, box, keptAtOnce, keptRooms)
	before := l.askOutbox(ctx, db, box, keptRooms, cleanTimes)
	start := time.Now()
	l.keep(ctx, db, box, rows, keptRooms)
	l.say("  %s rows written and sent in %.0f s", count(rows), time.Since(start).Seconds())
	after := l.askOutbox(ctx, db, box, keptRooms, cleanTimes)
	l.found(retentionResult(rows, before, after))
}

// keep writes rows and has them sent.
func (l *lab) keep(ctx context.Context, db *database, box *outbox.DB, rows, rooms int) {
	for written := 0; written < rows; written += keptAtOnce {
		db.write(ctx, min(keptAtOnce, rows-written), rooms)
		check(l.relayHere(box).Empty(ctx))
	}
	db.quiesce(ctx)
}

// asked is how long the outbox takes for each question.
type asked struct{ claim, history, clean time.Duration }

// askOutbox measures medians of many.
func (l *lab) askOutbox(ctx context.Context, db *database, box *outbox.DB, rooms, cleans int) asked {
	var a asked
	for _, m := range []struct {
		into  *time.Duration
		times int
		one   func(n int) time.Duration
	}{
		{&a.claim, l.pick(200, 40), func(n int) time.Duration { return claimOne(ctx, db, box, n%rooms) }},
		{&a.history, l.pick(200, 40), func(n int) time.Duration { return readPage(ctx, box, n%rooms) }},
		{&a.clean, cleans, func(int) time.Duration { return cleanSome(ctx, db, box) }},
	} {
		var took []time.Duration
		for n := range m.times {
			took = append(took, m.one(n))
		}
		*m.into = median(took)
	}
	return a
}

// claimOne is a relay's turn with one new message: claim and ack.
func claimOne(ctx context.Context, db *database, box *outbox.DB, n int) time.Duration {
	check(db.insertOne(ctx, n, "claim me"))
	start := time.Now()
	rooms := must(box.Claim(ctx, "load", outbox.Limits{Rows: 100, PerRoom: 100, Lease: 15 * time.Second}))
	took := time.Since(start)
	if len(rooms) != 1 || len(rooms[0].Rows) != 1 {
		check(fmt.Errorf("claimed %d rooms instead of one message", len(rooms)))
	}
	must(box.Ack(ctx, []outbox.Ack{{Room: rooms[0].ID, Fence: rooms[0].Fence, Seq: rooms[0].Rows[0].Seq}}))
	return took
}

// readPage is a browser that catches up on a room's last 20 events.
func readPage(ctx context.Context, box *outbox.DB, n int) time.Duration {
	q := outbox.HistoryQuery{Room: roomID(n), UserID: roomID(1)}
	now := must(box.History(ctx, q)) // where the room stands
	q.After, q.Epoch, q.Max = max(0, now.Head-20), now.Epoch, 20
	start := time.Now()
	page := must(box.History(ctx, q))
	took := time.Since(start)
	if len(page.Changes) == 0 {
		check(errors.New("an empty page of history"))
	}
	return took
}

// cleanRuns of rows that are past the retention go in one step, oldest first. Both
// times together stay within the runs of the first rows, so that like meets like.
const (
	cleanRuns  = 4
	cleanTimes = 40
)

// cleanSome is one step of the cleaning, per row that went.
func cleanSome(ctx context.Context, db *database, box *outbox.DB) time.Duration {
	must(db.pool.Exec(ctx, `update roomcast.settings set retention = '1 microsecond'`))
	start := time.Now()
	cleaned := must(box.Clean(ctx, cleanRuns))
	took := time.Since(start)
	if cleaned == 0 {
		check(errors.New("nothing was cleaned"))
	}
	must(db.pool.Exec(ctx, `select roomcast.configure(retention => interval '24 hours')`))
	return took / time.Duration(cleaned)
}

// retentionResult compares each question with itself.
func retentionResult(rows int, before, after asked) result {
	met := true
	var said []string
	for _, c := range []struct {
		what          string
		before, after time.Duration
	}{
		{"claim", before.claim, after.claim}, {"history", before.history, after.history}, {"cleanup per row", before.clean, after.clean},
	} {
		change := float64(c.after)/float64(c.before) - 1
		met = met && change <= 0.2
		said = append(said, fmt.Sprintf("%s %s → %s (%+.0f%%)", c.what, us(c.before), us(c.after), 100*change))
	}
	return result{
		what:    fmt.Sprintf("%s sent rows in retention", count(rows)),
		reached: strings.Join(said, "; "),
		target:  "unchanged within 20%",
		met:     met,
		note:    fmt.Sprintf("Medians, with %s sent rows and with %s more, in %d rooms: a claim of one new message, a page of 20 events, one step of the cleaning divided by the rows that went.", count(keptAtOnce), count(rows), keptRooms),
	}
}
