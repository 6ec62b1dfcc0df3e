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
func retention(ctx context.Context, l *lab, db *database) ([]result, error) {
	box, err := outbox.Open(db.relay, 4)
	if err != nil {
		return nil, err
	}
	defer box.Close()
	rows := l.pick(keptRows, 2*keptAtOnce)
	if err := db.keep(ctx, box, keptAtOnce, keptRooms); err != nil {
		return nil, err
	}
	before, err := l.askOutbox(ctx, db, box, keptRooms, cleanTimes)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := db.keep(ctx, box, rows, keptRooms); err != nil {
		return nil, err
	}
	l.say("  %s rows written and sent in %.0f s", count(rows), time.Since(start).Seconds())
	after, err := l.askOutbox(ctx, db, box, keptRooms, cleanTimes)
	if err != nil {
		return nil, err
	}
	return []result{retentionResult(rows, before, after)}, nil
}

// keep writes rows and has them sent to a publisher that only counts.
func (db *database) keep(ctx context.Context, box *outbox.DB, rows, rooms int) error {
	for written := 0; written < rows; written += keptAtOnce {
		if err := db.write(ctx, min(keptAtOnce, rows-written), rooms); err != nil {
			return err
		}
		if err := relayInto(box, newCounter(keptAtOnce)).Empty(ctx); err != nil {
			return err
		}
	}
	return db.quiesce(ctx)
}

// asked is how long the outbox takes for each question.
type asked struct{ claim, history, clean time.Duration }

// askOutbox measures medians of many.
func (l *lab) askOutbox(ctx context.Context, db *database, box *outbox.DB, rooms, cleans int) (asked, error) {
	var a asked
	for _, m := range []struct {
		into  *time.Duration
		times int
		one   func(n int) (time.Duration, error)
	}{
		{&a.claim, l.pick(200, 40), func(n int) (time.Duration, error) { return claimOne(ctx, db, box, n%rooms) }},
		{&a.history, l.pick(200, 40), func(n int) (time.Duration, error) { return readPage(ctx, box, n%rooms) }},
		{&a.clean, cleans, func(int) (time.Duration, error) { return cleanSome(ctx, db, box) }},
	} {
		var took []time.Duration
		for n := range m.times {
			t, err := m.one(n)
			if err != nil {
				return a, err
			}
			took = append(took, t)
		}
		*m.into = median(took)
	}
	return a, nil
}

// claimOne is a relay's turn with one new message: claim and ack.
func claimOne(ctx context.Context, db *database, box *outbox.DB, n int) (time.Duration, error) {
	if err := db.insertOne(ctx, n, "claim me"); err != nil {
		return 0, err
	}
	start := time.Now()
	rooms, err := box.Claim(ctx, "load", outbox.Limits{Rows: 100, PerRoom: 100, Lease: 15 * time.Second})
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	if len(rooms) != 1 || len(rooms[0].Rows) != 1 {
		return 0, fmt.Errorf("claimed %d rooms instead of one message", len(rooms))
	}
	_, err = box.Ack(ctx, []outbox.Ack{{Room: rooms[0].ID, Fence: rooms[0].Fence, Seq: rooms[0].Rows[0].Seq}})
	return took, err
}

// readPage is a browser that catches up on a room's last 20 events.
func readPage(ctx context.Context, box *outbox.DB, n int) (time.Duration, error) {
	q := outbox.HistoryQuery{Room: roomID(n), UserID: roomID(1)}
	now, err := box.History(ctx, q) // where the room stands
	if err != nil {
		return 0, err
	}
	q.After, q.Epoch, q.Max = max(0, now.Head-20), now.Epoch, 20
	start := time.Now()
	page, err := box.History(ctx, q)
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	if len(page.Changes) == 0 {
		return 0, errors.New("an empty page of history")
	}
	return took, nil
}

// cleanRuns of rows that are past the retention go in one step, oldest first. Both
// times together stay within the runs of the first rows, so that like meets like.
const (
	cleanRuns  = 4
	cleanTimes = 40
)

// cleanSome is one step of the cleaning, per row that went.
func cleanSome(ctx context.Context, db *database, box *outbox.DB) (time.Duration, error) {
	if _, err := db.pool.Exec(ctx, `update roomcast.settings set retention = '1 microsecond'`); err != nil {
		return 0, err
	}
	start := time.Now()
	cleaned, err := box.Clean(ctx, cleanRuns)
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	if cleaned == 0 {
		return 0, errors.New("nothing was cleaned")
	}
	_, err = db.pool.Exec(ctx, `select roomcast.configure(retention => interval '24 hours')`)
	return took / time.Duration(cleaned), err
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
