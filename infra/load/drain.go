package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"roomcast/infra/load/peers/least"
)

const (
	backlog      = 100_000
	backlogRooms = 200
	memoryLimit  = 40_000_000
)

// drained is one emptied backlog.
type drained struct {
	rate float64 // rows per second
	peak int64   // most memory held, in bytes; 0 where that cannot be told
	// What the machine computed meanwhile, per row: the program and its Postgres backends.
	program, postgres time.Duration
}

// drain: a backlog against the least program, neither Pusher nor the network slow.
func drain(ctx context.Context, l *lab) (results []result, err error) {
	return results, l.with(ctx, func(db *database) error {
		rows := l.pick(backlog, backlog/10)
		var ours, plain, side []float64
		var peak, peerPeak int64
		for round := range l.pick(3, 1) {
			a, errA := l.drainRelay(ctx, db, rows, backlogRooms, fmt.Sprintf("drain-%d", round+1))
			b, errB := l.drainLeast(ctx, db, rows)
			c, errC := l.drainLeast(ctx, db, rows, "OVERLAP=1")
			if err := errors.Join(errA, errB, errC); err != nil {
				return err
			}
			l.say("  round %d: relay %s rows/s, least program %s, overlapping %s", round+1, count(a.rate), count(b.rate), count(c.rate))
			l.say("  CPU per row: relay %s and %s in Postgres, least program %s and %s", us1(a.program), us1(a.postgres), us1(b.program), us1(b.postgres))
			ours, plain, side = append(ours, a.rate), append(plain, b.rate), append(side, c.rate)
			peak, peerPeak = max(peak, a.peak), max(peerPeak, b.peak)
		}
		share := medianRatio(ours, plain)
		results = append(results, result{
			what:    fmt.Sprintf("drain of %s waiting rows, %d rooms, no delay", count(rows), backlogRooms),
			reached: fmt.Sprintf("%s rows/s, %.2f of the least program's %s", count(median(ours)), share, count(median(plain))),
			target:  "≥ 0.7 of the least program",
			met:     share >= 0.7,
			note:    leastNote(len(ours), medianRatio(ours, side), median(side)),
		}, result{
			what:    "memory peak of that drain",
			reached: fmt.Sprintf("%s (the least program: %s)", mb(peak), mb(peerPeak)),
			target:  "< 40 MB",
			met:     peak > 0 && peak < memoryLimit,
		})
		return nil
	})
}

// leastNote says what the peer is, and what a quicker one makes of the same work.
func leastNote(rounds int, share, rate float64) string {
	return fmt.Sprintf("Median of the ratios of %d rounds in turns, until nothing waits. The least program (peers/least) selects %s rows, posts them in tens, %d calls at once, and deletes them; it numbers nothing, keeps no order and leases nothing. With these three side by side it makes %s rows/s, of which the relay's are %.2f.",
		rounds, count(least.Fetch), least.Posters, count(rate), share)
}

// medianRatio compares measurements that were taken in pairs.
func medianRatio(ours, theirs []float64) float64 {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return median(ratios)
}

// drainRelay fills the outbox while a function sleeps, rings, and waits for the
// last event.
func (l *lab) drainRelay(ctx context.Context, db *database, rows, rooms int, profile string) (drained, error) {
	p, err := l.function(ctx, "DATABASE_URL="+db.relay)
	if err != nil {
		return drained{}, err
	}
	if err := db.untilQuiet(ctx); err != nil {
		return drained{}, err
	}
	if err := db.fill(ctx, rows, rooms); err != nil {
		return drained{}, err
	}
	all := l.sink.expect(rows)
	start := time.Now()
	if err := ring(ctx, p); err != nil {
		return drained{}, err
	}
	if _, err := all(ctx); err != nil {
		return drained{}, fmt.Errorf("%w: %s", err, p.log.String())
	}
	if err := db.untilEmpty(ctx); err != nil {
		return drained{}, err
	}
	d := drained{rate: perSecond(rows, time.Since(start))}
	d.account(ctx, db, p, rows)
	if err := l.keepProfile(ctx, p, profile); err != nil {
		return drained{}, err
	}
	return d, p.stop()
}

// account notes what a drain took besides time; zeros say that it cannot be told here.
func (d *drained) account(ctx context.Context, db *database, p *program, rows int) {
	d.peak, _ = peakMemory(p.Cmd.Process.Pid)
	d.program, _ = processTime(p.Cmd.Process.Pid)
	d.program /= time.Duration(rows)
	if pids, err := db.relayBackends(ctx); err == nil {
		d.postgres, _ = cpuTimes(pids)
		d.postgres /= time.Duration(rows)
	}
}

// untilEmpty waits until the outbox knows that all was accepted.
func (db *database) untilEmpty(ctx context.Context) error {
	for waits := true; waits; {
		if err := db.pool.QueryRow(ctx, `select roomcast.has_waiting()`).Scan(&waits); err != nil {
			return err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

const fillLeastSQL = `insert into public.least_outbox (room, record)
	select room_id::text, jsonb_build_object('id', id, 'room_id', room_id, 'user_id', user_id, 'content', content, 'created_at', created_at)
	  from public.messages order by created_at desc limit $1`

// fillLeast gives the least program the same records.
func (db *database) fillLeast(ctx context.Context, rows int) error {
	if _, err := db.pool.Exec(ctx, fillLeastSQL, rows); err != nil {
		return fmt.Errorf("fill least outbox: %w", err)
	}
	return db.settle(ctx)
}

// drainLeast does the same with the least program.
func (l *lab) drainLeast(ctx context.Context, db *database, rows int, extra ...string) (drained, error) {
	path, err := l.binary(ctx, "infra/load/peers/drain")
	if err != nil {
		return drained{}, err
	}
	p, err := l.spawn("least drain", slices.Concat(l.sink.environment(), []string{"DATABASE_URL=" + db.relay}, extra), path)
	if err != nil {
		return drained{}, err
	}
	if err := p.says("ready"); err != nil {
		return drained{}, err
	}
	if err := db.fillLeast(ctx, rows); err != nil {
		return drained{}, err
	}
	start := time.Now()
	if _, err := fmt.Fprintln(p.stdin); err != nil {
		return drained{}, err
	}
	if err := p.says(fmt.Sprintf("done %d\n", rows)); err != nil {
		return drained{}, err
	}
	d := drained{rate: perSecond(rows, time.Since(start))}
	d.account(ctx, db, p, rows)
	return d, p.stop()
}

// says waits for a line that begins so.
func (p *program) says(word string) error {
	line, err := p.stdout.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, word) {
		return p.fault("ended or said something else than " + word)
	}
	return nil
}
