package main

import (
	"context"
	"fmt"
	"time"

	"roomcast/shared/outbox/outboxtest/pgnet"
)

// sleeper is a function that sleeps behind a bell: it has just started, looked for
// waiting rows and found none. That is the sleep it returns to after work, and
// harder: no connection to Pusher is open yet.
type sleeper struct {
	*program
	db *database
}

// asleepFunction starts one and points the database's bell at it.
func (l *lab) asleepFunction(ctx context.Context, db *database) (*sleeper, error) {
	p, err := l.function(ctx, "DATABASE_URL="+db.relay)
	if err != nil {
		return nil, err
	}
	_, err = db.pool.Exec(ctx, `select roomcast.configure(url => $1, secret => $2)`, "http://"+p.addr()+"/webhooks/supabase", bellSecret)
	if err != nil {
		return nil, err
	}
	return &sleeper{p, db}, db.untilQuiet(ctx)
}

// untilQuiet waits until the relay's first look is over.
func (db *database) untilQuiet(ctx context.Context) error {
	for {
		var idle, busy int
		err := db.pool.QueryRow(ctx, `
			select count(*) filter (where state = 'idle'), count(*) filter (where state <> 'idle')
			  from pg_stat_activity where usename = $1 and datname = current_database()`, relayRole).Scan(&idle, &busy)
		if err != nil {
			return err
		}
		if idle > 0 && busy == 0 {
			return nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pgNetRest is how long pg_net's worker sleeps behind a batch, and a little more:
// a bell within that time would wait for the worker, not for the relay.
const pgNetRest = 1200 * time.Millisecond

// asleep: the first message after sleep, the process running. Bell and all.
func asleep(ctx context.Context, l *lab) (results []result, err error) {
	return results, l.with(ctx, func(db *database) error {
		sender, err := pgnet.Start(ctx, db.owner)
		if err != nil {
			return err
		}
		defer sender.Stop()
		var warm, cold []time.Duration
		for i := range l.pick(18, 4) {
			cut := i%3 == 2
			took, err := l.firstMessage(ctx, db, cut)
			if err != nil {
				return err
			}
			if cut {
				cold = append(cold, took)
			} else {
				warm = append(warm, took)
			}
		}
		p50 := median(warm)
		results = append(results, result{
			what:    "the same, first message after sleep, process running",
			reached: fmt.Sprintf("p50 %s (%d sleeps, slowest %s)", ms(p50), len(warm), ms(quantile(warm, 1))),
			target:  "p50 ≤ 10 ms",
			met:     p50 <= 10*time.Millisecond,
			note: fmt.Sprintf("The bell included, rung by the stand-in for pg_net; each time a process that sleeps and has no connection to Pusher yet. After more than a minute of sleep the database connection is closed as well, and the p50 is %s (%d sleeps).",
				ms(median(cold)), len(cold)),
		})
		return nil
	})
}

// firstMessage wakes a sleeping function with one message. cut closes its database
// connection first, as a minute of idleness does.
func (l *lab) firstMessage(ctx context.Context, db *database, cut bool) (time.Duration, error) {
	p, err := l.asleepFunction(ctx, db)
	if err != nil {
		return 0, err
	}
	if cut {
		if _, err := db.pool.Exec(ctx, `select pg_terminate_backend(pid, 1000) from pg_stat_activity where usename = $1 and datname = current_database()`, relayRole); err != nil {
			return 0, err
		}
	}
	if err := pause(ctx, pgNetRest); err != nil {
		return 0, err
	}
	times, err := l.pace(ctx, db, []time.Duration{0})
	if err != nil {
		return 0, err
	}
	return times[0], p.stop()
}
