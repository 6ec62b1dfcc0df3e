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

// retention: the same questions of a chat that keeps a million sent rows more than another, in
// turns: before and after, minutes would lie between them, and whatever else the machine did.
func retention(ctx context.Context, l *lab, db *database) {
	rows := l.pick(keptRows, 2*keptAtOnce)
	l.with(ctx, func(few *database) {
		var both []keeper
		for _, k := range []struct {
			db   *database
			more int
		}{{few, 0}, {db, rows}} {
			box := must(outbox.Open(k.db.relay, 4))
			defer box.Close()
			start := time.Now()
			l.keep(ctx, k.db, box, keptAtOnce+k.more, keptRooms)
			l.say("  %s rows written and sent in %.0f s", count(keptAtOnce+k.more), time.Since(start).Seconds())
			both = append(both, keeper{k.db, box})
		}
		asked := l.askOutbox(ctx, both, keptRooms, cleanTimes)
		l.found(retentionResult(rows, asked[0], asked[1]))
	})
}

// keeper is a chat that keeps rows, and a relay's access to it.
type keeper struct {
	db  *database
	box *outbox.DB
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

// askOutbox measures medians of many, for each chat, in turns.
func (l *lab) askOutbox(ctx context.Context, chats []keeper, rooms, cleans int) []asked {
	out := make([]asked, len(chats))
	for _, m := range []struct {
		into  func(*asked) *time.Duration
		times int
		one   func(k keeper, n int) time.Duration
	}{
		{func(a *asked) *time.Duration { return &a.claim }, l.pick(200, 40), func(k keeper, n int) time.Duration { return claimOne(ctx, k.db, k.box, n%rooms) }},
		{func(a *asked) *time.Duration { return &a.history }, l.pick(200, 40), func(k keeper, n int) time.Duration { return readPage(ctx, k.box, n%rooms) }},
		{func(a *asked) *time.Duration { return &a.clean }, cleans, func(k keeper, _ int) time.Duration { return cleanSome(ctx, k.db, k.box) }},
	} {
		took := make([][]time.Duration, len(chats))
		for n := range m.times {
			for i, k := range chats {
				took[i] = append(took[i], m.one(k, n))
			}
		}
		for i := range chats {
			*m.into(&out[i]) = median(took[i])
		}
	}
	return out
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

// cleanRuns of rows that are past the retention go in one step, oldest first, all
// of the first rows, so that like meets like.
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
		note:    fmt.Sprintf("Medians, of a chat with %s sent rows and of one with %s more, in turns, in %d rooms: a claim of one new message, a page of 20 events, one step of the cleaning divided by the rows that went.", count(keptAtOnce), count(rows), keptRooms),
	}
}
