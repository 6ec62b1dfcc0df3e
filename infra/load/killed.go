package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// killed: how long rows wait whose relay was killed with -9, until another relay has
// sent them, or the same one, started again at once on the same machine.
func killed(ctx context.Context, l *lab, db *database) {
	for _, c := range []struct {
		what   string
		by     func(context.Context, *database) rescue
		within time.Duration
	}{
		{"seconds until drained after kill -9: by another relay", l.byAnother, 5 * time.Second},
		{"the same: by itself, restarted", l.byItself, 2 * time.Second},
	} {
		var times []time.Duration
		for range l.pick(3, 1) {
			times = append(times, l.killOne(ctx, db, c.by))
		}
		slowest := quantile(times, 1)
		l.found(result{
			what:    c.what,
			reached: fmt.Sprintf("%.1f s (slowest of %d)", slowest.Seconds(), len(times)),
			target:  fmt.Sprintf("≤ %.0f s", c.within.Seconds()),
			met:     slowest <= c.within,
		})
	}
}

// rescue is what is done once a relay has been killed.
type rescue func(ctx context.Context, victim *program)

// byAnother has a second relay polling beside the first; byItself starts the first again.
func (l *lab) byAnother(ctx context.Context, db *database) rescue {
	p := l.function(ctx, "DATABASE_URL="+db.relay, "LINGER=60s")
	wake(ctx, p)
	return func(context.Context, *program) {}
}

func (l *lab) byItself(_ context.Context, db *database) rescue {
	return func(ctx context.Context, victim *program) {
		l.startFunction(ctx, "DATABASE_URL="+db.relay, "PORT="+strconv.Itoa(victim.port))
	}
}

// killOne kills a relay that has claimed rows and waits for Pusher, and returns how long
// it takes until nothing waits.
func (l *lab) killOne(ctx context.Context, db *database, by func(context.Context, *database) rescue) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	victim := l.awakeFunction(ctx, db)
	l.sink.delay.Store(int64(300 * time.Millisecond))
	db.write(ctx, 2000, 100)
	rescue := by(ctx, db) // a relay that came before may have taken all of it
	pid := victim.Cmd.Process.Pid
	for held := 0; held == 0; {
		check(db.pool.QueryRow(ctx, `select count(*) from roomcast.rooms where holder like '%:' || $1::text || '@%' and sent_seq < head_seq`, fmt.Sprint(pid)).Scan(&held))
	}
	check(victim.Process.Cmd.Process.Kill())
	<-victim.Done()
	start := time.Now()
	l.sink.delay.Store(0)
	rescue(ctx, victim)
	db.untilEmpty(ctx)
	took := time.Since(start)
	check(l.stopPrograms())
	return took
}
