package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	burstRows   = 3_000_000
	burstMemory = 64 << 20 // of the relay, by a control group: more, and it is killed
	burstStep   = 100_000  // rows of one statement
	// otherRooms have a message every so often, from before the burst until it is sent.
	otherRooms = 4
	otherPause = 500 * time.Millisecond
	otherLimit = 10 * time.Second
)

// burst: one transaction with millions of rows, in many rooms and in one, and rows that are
// large, through a relay of 64 MB, while other rooms go on.
func burst(ctx context.Context, l *lab, _ *database) {
	l.limited("burst through a relay of 64 MB", burstMemory, 0, func() { l.bursts(ctx) })
}

func (l *lab) bursts(ctx context.Context) {
	rows := l.pick(burstRows, burstStep)
	for _, b := range []struct {
		what   string
		events int
		write  []string
	}{
		{"250 rows of 1 MB", 250, []string{fmt.Sprintf(largeSQL, 250, 1_000_000)}},
		{"one row of 100 MB", 1, []string{fmt.Sprintf(largeSQL, 1, l.pick(100_000_000, 10_000_000))}},
		{count(rows) + " rows in 200 rooms, one transaction", rows, burstSQL(rows, 200)},
		{count(rows) + " rows in one room, one transaction", rows, burstSQL(rows, 1)},
	} {
		l.say("  %s", b.what)
		during(b.what, func() {
			l.with(ctx, func(db *database) { l.burstOf(ctx, db, b.what, b.events, b.write) })
		})
	}
}

const largeSQL = `insert into public.messages (room_id, user_id, content)
	select public.room(0), gen_random_uuid(), repeat(md5(i::text), %[2]d / 32) from generate_series(1, %[1]d) i`

// burstSQL are statements of one transaction.
func burstSQL(rows, rooms int) (out []string) {
	for from := 1; from <= rows; from += burstStep {
		out = append(out, fmt.Sprintf(`insert into public.messages (room_id, user_id, content)
			select public.room(i %% %d), gen_random_uuid(), 'a message of usual length, more or less, number ' || i
			  from generate_series(%d, %d) i`, rooms, from, from+burstStep-1))
	}
	return out
}

// burstOf commits the statements together and waits until Pusher has accepted so many
// events of them, and all that was written to other rooms meanwhile.
func (l *lab) burstOf(ctx context.Context, db *database, what string, events int, write []string) {
	l.claims.take() // those of the burst before
	db.set(ctx, "track_functions = pl")
	db.set(ctx, "log_min_duration_statement = 0")
	p := l.awakeFunction(ctx, db, "LINGER=60s")
	watch := newStopwatch(int(time.Hour / otherPause))
	defer l.sink.listen(watch.note)()
	from := l.sink.events.Load()
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var others errgroup.Group
	written := 0
	others.Go(func() (err error) {
		written, err = db.writeToOthers(writing, watch)
		return err
	})
	start := time.Now()
	tx := must(db.pool.Begin(ctx))
	defer tx.Rollback(context.WithoutCancel(ctx)) // nothing, once it is committed
	for _, sql := range write {
		must(tx.Exec(ctx, sql))
	}
	check(tx.Commit(ctx))
	committed := time.Now()
	for int(l.sink.events.Load()-from) < events {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			p.check(fmt.Errorf("%w: %d of %d", errShort, l.sink.events.Load()-from, events))
		}
	}
	stop()
	check(others.Wait())
	db.untilEmpty(ctx)
	took := time.Since(committed)
	waits := watch.times()[:written]
	var used drained
	used.account(ctx, db, []*program{p}, events)
	worst, median := quantile(waits, 1), median(waits)
	claims, claim := l.claims.take()
	steps := db.functionTime(ctx, "assign_seqs")
	l.found(result{
		what: what + " through a relay of 64 MB",
		reached: fmt.Sprintf("sent %.1f s after the commit; peak %s; %d messages of other rooms meanwhile: median %s, worst %.1f s",
			took.Seconds(), mb(used.peak), written, ms(median), worst.Seconds()),
		target: "worst of the others < 10 s",
		met:    worst < otherLimit,
		note: fmt.Sprintf("Written in %.1f s. Longest of %s claims %s, in the server; %s. CPU a row: %s of the relay and %s of Postgres. Load average: %s.",
			committed.Sub(start).Seconds(), count(claims), ms(claim), steps, us1(used.program), us1(used.postgres), loadAverage()),
	})
}

// writeToOthers commits a message to another room every so often, until ctx ends, and
// returns how many.
func (db *database) writeToOthers(ctx context.Context, watch *stopwatch) (n int, err error) {
	tick := time.NewTicker(otherPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return n, nil
		case <-tick.C:
		}
		err := db.insertOne(context.WithoutCancel(ctx), 1000+n%otherRooms, mark+strconv.Itoa(n)+" ")
		if err != nil {
			return n, err
		}
		watch.commit(n)
		n++
	}
}

// functionTime says how often one of our functions ran, and how long on average.
func (db *database) functionTime(ctx context.Context, name string) string {
	var calls int64
	var total float64
	check(db.pool.QueryRow(ctx, `select coalesce(sum(calls), 0)::bigint, coalesce(sum(total_time), 0)
		from pg_stat_user_functions where schemaname = 'roomcast' and funcname = $1`, name).Scan(&calls, &total))
	if calls == 0 {
		return name + " never ran"
	}
	return fmt.Sprintf("%s ran %s times, %s on average", name, count(calls), ms(time.Duration(total/float64(calls)*float64(time.Millisecond))))
}

// claimTimes reads from the server's log, where it logs durations, how long claims took.
type claimTimes struct {
	mu      sync.Mutex
	count   int
	longest time.Duration
}

// line takes one of the log; a claim's first has its duration.
func (c *claimTimes) line(text string) {
	_, rest, _ := strings.Cut(text, "duration: ")
	number, statement, _ := strings.Cut(rest, " ms")
	took, err := strconv.ParseFloat(number, 64)
	if err != nil || !strings.Contains(statement, "execute <unnamed>: select room, epoch, fence") {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	c.longest = max(c.longest, time.Duration(took*float64(time.Millisecond)))
}

// take returns how many there were since the last time, and the longest.
func (c *claimTimes) take() (count int, longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	count, longest = c.count, c.longest
	c.count, c.longest = 0, 0
	return count, longest
}
