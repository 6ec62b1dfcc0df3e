package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"roomcast/infra/child"
)

const (
	backlog      = 100_000
	backlogRooms = 200
	callTime     = 20 * time.Millisecond // of one Pusher call, where it is slow
)

// drained is one emptied backlog.
type drained struct {
	rate float64 // rows per second
	peak int64   // most memory held, in bytes; 0 where that cannot be told
	// What the machine computed meanwhile, per row: the program and its Postgres backends.
	program, postgres time.Duration
}

// inTurns measures each of several things once a round, so that what else the machine
// does meets them alike.
func inTurns[T any](rounds int, measure ...func(round int) T) [][]T {
	out := make([][]T, len(measure))
	for round := range within(rounds, 1, turnsTime) {
		for i, one := range measure {
			out[i] = append(out[i], one(round))
		}
	}
	return out
}

// turnsTime is when a scenario that is measured in turns begins no further round.
const turnsTime = 75 * time.Second

// within counts most rounds, fewer when the time is over and there are enough: on a busy
// machine a figure then is of fewer rounds, and the scenario's other figures are had.
func within(most, enough int, limit time.Duration) iter.Seq[int] {
	return func(yield func(int) bool) {
		began := time.Now()
		for round := range most {
			if round >= enough && time.Since(began) > limit || !yield(round) {
				return
			}
		}
	}
}

// medianRatio compares measurements that were taken in pairs.
func medianRatio(ours, theirs []float64) float64 {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return median(ratios)
}

func rateOf(d drained) float64 { return d.rate }

// column is one figure of each measurement.
func column[T, V any](all []T, figure func(T) V) []V {
	out := make([]V, len(all))
	for i, one := range all {
		out[i] = figure(one)
	}
	return out
}

// drain: a backlog against the least program, neither Pusher nor the network slow.
func drain(ctx context.Context, l *lab, db *database) {
	rows := l.pick(backlog, backlog/10)
	all := inTurns(l.pick(3, 1),
		func(round int) drained {
			return l.drainRelay(ctx, db, work{rows: rows, rooms: backlogRooms, profile: fmt.Sprintf("drain-%d", round+1)})
		},
		func(int) drained { return l.drainLeast(ctx, db, rows) },
		func(int) drained { return l.drainLeast(ctx, db, rows, "OVERLAP=1") })
	ours, plain, overlapping := column(all[0], rateOf), column(all[1], rateOf), column(all[2], rateOf)
	share := medianRatio(ours, plain)
	peak, peerPeak := slices.Max(column(all[0], func(d drained) int64 { return d.peak })), slices.Max(column(all[1], func(d drained) int64 { return d.peak }))
	cpu := func(ds []drained, part func(drained) time.Duration) string { return us1(median(column(ds, part))) }
	program, postgres := func(d drained) time.Duration { return d.program }, func(d drained) time.Duration { return d.postgres }
	l.found(result{
		what:    fmt.Sprintf("drain of %s waiting rows, %d rooms, no delay", count(rows), backlogRooms),
		reached: fmt.Sprintf("%s rows/s, %.2f of the least program's %s", count(median(ours)), share, count(median(plain))),
		target:  "≥ 0.85 of the least program",
		met:     share >= 0.85,
		note: leastNote(len(ours), medianRatio(ours, overlapping), median(overlapping)) +
			fmt.Sprintf(" A row costs %s of the relay and %s of Postgres; of the least program %s and %s.",
				cpu(all[0], program), cpu(all[0], postgres), cpu(all[1], program), cpu(all[1], postgres)),
	}, result{
		what:    "memory peak of that drain",
		reached: fmt.Sprintf("%s (the least program: %s)", mb(peak), mb(peerPeak)),
		target:  "< 48 MB",
		met:     peak > 0 && peak < 48_000_000,
	})
}

// wide: as many rows, but each in a room of its own, or ten to a room.
func wide(ctx context.Context, l *lab, db *database) {
	rows := l.pick(backlog, backlog/10)
	drainOver := func(rooms int) func(int) drained {
		return func(round int) drained {
			return l.drainRelay(ctx, db, work{rows: rows, rooms: rooms, profile: fmt.Sprintf("wide-%d-%d", rooms, round+1)})
		}
	}
	all := inTurns(l.pick(3, 1), drainOver(backlogRooms), drainOver(rows/10), drainOver(rows))
	few, some, many := column(all[0], rateOf), column(all[1], rateOf), column(all[2], rateOf)
	share := medianRatio(many, few)
	l.found(result{
		what:    fmt.Sprintf("%s rooms of one row each, against %d rooms", count(rows), backlogRooms),
		reached: fmt.Sprintf("%s rows/s, %.2f of %s", count(median(many)), share, count(median(few))),
		target:  "≥ 0.6",
		met:     share >= 0.6,
		note:    fmt.Sprintf("In turns, medians of %d rounds. %s rooms: %.2f.", len(few), count(rows/10), medianRatio(some, few)),
	})
}

// relays: several on one database, where a call's time is what bounds one of them.
func relays(ctx context.Context, l *lab, db *database) {
	l.sink.delay.Store(int64(callTime))
	rows := l.pick(backlog, backlog/10)
	with := func(n int) func(int) drained {
		return func(int) drained { return l.drainRelay(ctx, db, work{rows: rows, rooms: 1000, relays: n}) }
	}
	all := inTurns(l.pick(2, 1), with(1), with(2), with(4))
	one, two, four := column(all[0], rateOf), column(all[1], rateOf), column(all[2], rateOf)
	by2, by4 := medianRatio(two, one), medianRatio(four, one)
	busy := func(ds []drained) string {
		return fmt.Sprintf("%.1f", median(column(ds, func(d drained) float64 { return d.rate * (d.program + d.postgres).Seconds() })))
	}
	l.found(result{
		what:    "2 and 4 relays on one database, 1,000 rooms, 20 ms a call, against one",
		reached: fmt.Sprintf("%.1f and %.1f times (%s, %s, %s rows/s)", by2, by4, count(median(one)), count(median(two)), count(median(four))),
		target:  "1.9 and 3.3, or the cores' bound",
		met:     by2 >= 1.9 && by4 >= 3.3,
		note:    fmt.Sprintf("Relays and their backends kept %s, %s and %s cores busy, with Pusher's stand-in and the rest of Postgres beside them.", busy(all[0]), busy(all[1]), busy(all[2])),
	})
}

// slow: the backlog with 20 ms for each Pusher call: workers must overlap.
func slow(ctx context.Context, l *lab, db *database) {
	l.sink.delay.Store(int64(callTime))
	all := inTurns(l.pick(2, 1), func(int) drained {
		return l.drainRelay(ctx, db, work{rows: l.pick(backlog, backlog/10), rooms: backlogRooms, profile: "slow"})
	})
	rate := slices.Min(column(all[0], rateOf))
	l.found(result{
		what:    "the same with 20 ms per Pusher call",
		reached: count(rate) + " events/s",
		target:  "≥ 10,000 events/s",
		met:     rate >= 10_000,
	})
}

// hotRoom: one room, where order allows one batch in flight.
func hotRoom(ctx context.Context, l *lab, db *database) {
	l.sink.delay.Store(int64(callTime))
	rows := l.pick(2000, 400)
	all := inTurns(l.pick(2, 1),
		func(int) float64 {
			return l.drainRelay(ctx, db, work{rows: rows, rooms: 1, profile: "hot"}).rate
		},
		func(int) float64 { return l.oneInFlight(ctx, rows) })
	share := medianRatio(all[0], all[1])
	l.found(result{
		what:    "one hot room, 20 ms per call",
		reached: fmt.Sprintf("%s events/s, %.2f of the limit of %s", count(median(all[0])), share, count(median(all[1]))),
		target:  "≥ 0.9 of one batch in flight",
		met:     share >= 0.9,
		note:    "The limit is measured: batches of ten of the same size, each posted when the last was accepted.",
	})
}

// work is a backlog and who empties it.
type work struct {
	rows, rooms int
	relays      int      // 0 means one
	env         []string // of the relays, beyond the usual
	profile     string   // the name of the first one's profile
	// came waits until Pusher has all of it; nil counts events.
	came func(context.Context) error
}

// drainRelay fills the outbox while functions sleep, wakes them, and waits until
// nothing waits any more.
func (l *lab) drainRelay(ctx context.Context, db *database, w work) (d drained) {
	var started []*program
	for range max(1, w.relays) {
		p := l.function(ctx, append(w.env, "DATABASE_URL="+db.relay)...)
		started = append(started, p)
		db.untilIdle(ctx)
	}
	if w.came == nil {
		all := l.sink.expect(w.rows)
		w.came = func(ctx context.Context) error { _, err := all(ctx); return err }
	}
	db.fill(ctx, w.rows, w.rooms)
	start := time.Now()
	for _, p := range started {
		wake(ctx, p)
	}
	started[0].check(w.came(ctx))
	db.untilEmpty(ctx)
	d.rate = perSecond(w.rows, time.Since(start))
	d.account(ctx, db, started, w.rows)
	l.say("  %s rows/s; CPU per row: %s, and %s in Postgres", count(d.rate), us1(d.program), us1(d.postgres))
	l.keepProfile(ctx, started[0], w.profile)
	check(l.stopPrograms())
	return d
}

// account notes what a drain took besides time; zeros say that it cannot be told here.
func (d *drained) account(ctx context.Context, db *database, programs []*program, rows int) {
	for _, p := range programs {
		peak, _ := child.PeakMemory(p.Cmd.Process.Pid)
		took, _ := processTime(p.Cmd.Process.Pid)
		d.peak, d.program = max(d.peak, peak), d.program+took
	}
	d.program /= time.Duration(rows)
	d.postgres, _ = cpuTimes(db.relayBackends(ctx))
	d.postgres /= time.Duration(rows)
}

// untilEmpty waits until the outbox knows that all was accepted.
func (db *database) untilEmpty(ctx context.Context) {
	for waits := true; waits; {
		check(db.pool.QueryRow(ctx, `select roomcast.has_waiting()`).Scan(&waits))
		check(pause(ctx, time.Millisecond))
	}
}
