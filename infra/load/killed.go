package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// killed: how long rows wait whose relay was killed with -9, until another relay has
// sent them, or the same one, started again at once on the same machine.
func killed(ctx context.Context, l *lab, db *database) (results []result, err error) {
	for _, c := range []struct {
		what   string
		by     func(context.Context, *database) (rescue, error)
		within time.Duration
	}{
		{"seconds until drained after kill -9: by another relay", l.byAnother, 5 * time.Second},
		{"the same: by itself, restarted", l.byItself, 2 * time.Second},
	} {
		var times []time.Duration
		for range l.pick(3, 1) {
			took, err := l.killOne(ctx, db, c.by)
			if err != nil {
				return results, err
			}
			times = append(times, took)
		}
		slowest := quantile(times, 1)
		results = append(results, result{
			what:    c.what,
			reached: fmt.Sprintf("%.1f s (slowest of %d)", slowest.Seconds(), len(times)),
			target:  fmt.Sprintf("≤ %.0f s", c.within.Seconds()),
			met:     slowest <= c.within,
		})
	}
	return results, nil
}

// rescue is what is done once a relay has been killed.
type rescue func(ctx context.Context, victim *program) error

// byAnother has a second relay polling beside the first; byItself starts the first again.
func (l *lab) byAnother(ctx context.Context, db *database) (rescue, error) {
	p, err := l.function(ctx, "DATABASE_URL="+db.relay, "LINGER=60s")
	if err != nil {
		return nil, err
	}
	return func(context.Context, *program) error { return nil }, wake(ctx, p)
}

func (l *lab) byItself(_ context.Context, db *database) (rescue, error) {
	return func(ctx context.Context, victim *program) error {
		_, err := l.startFunction(ctx, "DATABASE_URL="+db.relay, "PORT="+strconv.Itoa(victim.port))
		return err
	}, nil
}

// killOne kills a relay that has claimed rows and waits for Pusher, and returns how long
// it takes until nothing waits.
func (l *lab) killOne(ctx context.Context, db *database, by func(context.Context, *database) (rescue, error)) (time.Duration, error) {
	victim, err := l.awakeFunction(ctx, db)
	if err != nil {
		return 0, err
	}
	rescue, err := by(ctx, db)
	if err != nil {
		return 0, err
	}
	l.sink.delay.Store(int64(300 * time.Millisecond))
	if err := db.write(ctx, 2000, 100); err != nil {
		return 0, err
	}
	pid := victim.Cmd.Process.Pid
	for held := 0; held == 0; {
		if err := db.pool.QueryRow(ctx, `select count(*) from roomcast.rooms where holder like '%:' || $1::text || '@%' and sent_seq < head_seq`, fmt.Sprint(pid)).Scan(&held); err != nil {
			return 0, err
		}
	}
	if err := victim.Process.Cmd.Process.Kill(); err != nil {
		return 0, err
	}
	<-victim.Done()
	start := time.Now()
	l.sink.delay.Store(0)
	if err := rescue(ctx, victim); err != nil {
		return 0, err
	}
	if err := db.untilEmpty(ctx); err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, l.stopPrograms()
}
