package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"roomcast/shared/outbox/outboxtest/pgnet"
)

// sleepingFunction has just started, claimed once and found nothing: that is the sleep
// it returns to after work, and harder, since no connection to Pusher is open yet. The
// database's wake-up webhook is pointed at it.
func (l *lab) sleepingFunction(ctx context.Context, db *database) *program {
	p := l.function(ctx, "DATABASE_URL="+db.relay)
	must(db.pool.Exec(ctx, `select roomcast.configure(url => $1, secret => $2)`, "http://"+p.addr()+"/webhooks/supabase", webhookSecret))
	db.untilIdle(ctx)
	return p
}

// untilIdle waits until the relay's first claim is over. On the smallest machine a moment
// passes between its connecting and its claiming.
func (db *database) untilIdle(ctx context.Context) {
	for {
		var all, busy int
		check(db.pool.QueryRow(ctx, `
			select count(*), count(*) filter (where state <> 'idle' or state_change > clock_timestamp() - interval '300 milliseconds')
			  from pg_stat_activity where usename = $1 and datname = current_database()`, relayRole).Scan(&all, &busy))
		if all > 0 && busy == 0 {
			return
		}
		check(pause(ctx, 2*time.Millisecond))
	}
}

// pgNetRest is how long pg_net's worker sleeps after a batch, and a little more: a
// wake-up within that time would wait for the worker, not for the relay.
const pgNetRest = 1200 * time.Millisecond

// asleep: the first message after sleep, the process running, the wake-up included.
func asleep(ctx context.Context, l *lab, db *database) {
	sender := must(pgnet.Start(ctx, db.owner))
	defer sender.Stop()
	var warm, cold []time.Duration
	for i := range l.pick(18, 4) {
		disconnected := i%3 == 2
		took := l.firstMessage(ctx, db, disconnected)
		if disconnected {
			cold = append(cold, took)
		} else {
			warm = append(warm, took)
		}
	}
	p50 := median(warm)
	l.found(result{
		what:    "the same, first message after sleep, process running",
		reached: fmt.Sprintf("p50 %s (%d sleeps, slowest %s)", ms(p50), len(warm), ms(quantile(warm, 1))),
		target:  "p50 ≤ 10 ms",
		met:     p50 <= 10*time.Millisecond,
		note: fmt.Sprintf("The wake-up included, sent by the stand-in for pg_net; each time a process that sleeps and has no connection to Pusher yet. After more than a minute of sleep the database connection is closed as well, and the p50 is %s (%d sleeps).",
			ms(median(cold)), len(cold)),
	})
}

// firstMessage wakes a sleeping function with one message. disconnected closes its
// database connection first, as a minute of idleness does.
func (l *lab) firstMessage(ctx context.Context, db *database, disconnected bool) time.Duration {
	p := l.sleepingFunction(ctx, db)
	if disconnected {
		must(db.pool.Exec(ctx, `select pg_terminate_backend(pid, 1000) from pg_stat_activity where usename = $1 and datname = current_database()`, relayRole))
	}
	check(pause(ctx, pgNetRest))
	times := l.pace(ctx, db, []time.Duration{0})
	check(p.stop())
	return times[0]
}

const (
	burstMessages = 6000
	burstTime     = 2 * time.Second
	burstWriters  = 16
)

// wakeups: how many webhooks a burst sends, the relay asleep at first.
func wakeups(ctx context.Context, l *lab, db *database) {
	sender := must(pgnet.Start(ctx, db.owner))
	defer sender.Stop()
	l.sleepingFunction(ctx, db)
	messages := l.pick(burstMessages, burstMessages/4)
	all := l.sink.expect(messages)
	start := time.Now()
	db.burst(ctx, messages, burstTime)
	wrote := time.Since(start)
	last := must(all(ctx))
	sent := sender.Requests()
	l.found(result{
		what:    fmt.Sprintf("wake-ups for a burst of %s inserts in 2 s", count(messages)),
		reached: strconv.Itoa(int(sent)),
		target:  "≤ 5",
		met:     sent <= 5,
		note: fmt.Sprintf("%d writers, one transaction for each message, written in %.1f s; the last event was accepted %s after the last commit. Relay asleep at first.",
			burstWriters, wrote.Seconds(), ms(max(0, last.Sub(start)-wrote))),
	})
}

// burst commits messages evenly over the time, from several connections.
func (db *database) burst(ctx context.Context, messages int, length time.Duration) {
	config := db.pool.Config()
	config.MaxConns = burstWriters
	pool := must(pgxpool.NewWithConfig(ctx, config))
	defer pool.Close()
	g, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for w := range burstWriters {
		g.Go(func() error {
			for n := w; n < messages; n += burstWriters {
				if err := pause(ctx, time.Until(start.Add(length*time.Duration(n)/time.Duration(messages)))); err != nil {
					return err
				}
				if _, err := pool.Exec(ctx, insertSQL, n%50, "burst "+strconv.Itoa(n)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(g.Wait())
}
