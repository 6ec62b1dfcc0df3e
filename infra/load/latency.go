package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"roomcast/shared/backoff"
)

const insertSQL = `insert into public.messages (room_id, user_id, content) values (public.room($1), gen_random_uuid(), $2)`

// insertOne commits one message.
func (db *database) insertOne(ctx context.Context, room int, content string) error {
	_, err := db.pool.Exec(ctx, insertSQL, room, content)
	return err
}

// wake calls the function as pg_net does.
func wake(ctx context.Context, p *program) {
	req := must(http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr()+"/webhooks/supabase", strings.NewReader(`{"type":"WAKE"}`)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+webhookSecret)
	resp := must(http.DefaultClient.Do(req))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		check(fmt.Errorf("wake-up: %s", resp.Status))
	}
}

// pace writes one message after each gap, and waits until all are accepted.
func (l *lab) pace(ctx context.Context, db *database, gaps []time.Duration) []time.Duration {
	watch := newStopwatch(len(gaps))
	defer l.sink.listen(watch.note)()
	all := l.sink.expect(len(gaps))
	db.writeAfter(ctx, gaps, watch, 20)
	must(all(ctx))
	return watch.times()
}

// writeAfter writes one message after each gap, in turns to so many rooms. Gaps are
// kept whatever an insert takes, so that a slow moment is not hidden.
func (db *database) writeAfter(ctx context.Context, gaps []time.Duration, watch *stopwatch, rooms int) {
	at := time.Now()
	var writers errgroup.Group
	writers.SetLimit(4) // of the pool's connections
	for n, gap := range gaps {
		at = at.Add(gap)
		if err := pause(ctx, time.Until(at)); err != nil {
			check(errors.Join(err, writers.Wait()))
		}
		writers.Go(func() error {
			if err := db.insertOne(ctx, n%rooms, mark+strconv.Itoa(n)); err != nil {
				return err
			}
			watch.commit(n)
			return nil
		})
	}
	check(writers.Wait())
}

// pause waits, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	backoff.Sleep(ctx, d)
	return ctx.Err()
}

// awakeFunction is a function that polls, with its connections and plans ready.
func (l *lab) awakeFunction(ctx context.Context, db *database, env ...string) *program {
	p := l.function(ctx, append(env, "DATABASE_URL="+db.relay)...)
	wake(ctx, p)
	l.pace(ctx, db, poisson(20, 50, 1))
	return p
}

// latency: from a commit acknowledged to its event accepted, relay awake.
func latency(ctx context.Context, l *lab, db *database) {
	p := l.awakeFunction(ctx, db)
	for _, c := range []struct{ rate, messages int }{
		{50, l.pick(750, 100)}, {3, l.pick(105, 9)}, {1, l.pick(45, 3)},
	} {
		times := l.pace(ctx, db, poisson(c.messages, float64(c.rate), 7))
		p50, p99 := median(times), quantile(times, 0.99)
		l.found(result{
			what:    fmt.Sprintf("commit acknowledged to accepted, awake, %d/s Poisson", c.rate),
			reached: fmt.Sprintf("p50 %s, p99 %s (%d messages)", ms(p50), ms(p99), len(times)),
			target:  "p50 ≤ 2 ms, p99 ≤ 8 ms",
			met:     p50 <= 2*time.Millisecond && p99 <= 8*time.Millisecond,
		})
	}
	l.found(emptyPolling(ctx, db, time.Duration(l.pick(12, 3))*time.Second))
	l.keepProfile(ctx, p, "latency")
}

// What a deployment's network adds, both ways together.
const (
	toDatabase = 10 * time.Millisecond
	toPusher   = 20 * time.Millisecond
)

// network: the same behind proxies that delay.
func network(ctx context.Context, l *lab, db *database) {
	slow := must(delayed(db.relay, toDatabase/2))
	defer slow.close()
	l.sink.delay.Store(int64(toPusher))
	p := l.awakeFunction(ctx, &database{owner: db.owner, relay: slow.url, pool: db.pool})
	times := l.pace(ctx, db, poisson(l.pick(300, 40), 10, 7))
	p50, p99 := median(times), quantile(times, 0.99)
	const least = toDatabase/2 + toPusher
	l.found(result{
		what:    fmt.Sprintf("the same at 10/s, with %s to the database and %s to Pusher, both ways", ms(toDatabase), ms(toPusher)),
		reached: fmt.Sprintf("p50 %s, p99 %s (%d messages)", ms(p50), ms(p99), len(times)),
		target:  fmt.Sprintf("p50 ≤ %s: 5 ms over one way from the database and one call", ms(least+5*time.Millisecond)),
		met:     p50 <= least+5*time.Millisecond,
		note:    "A proxy on the way to Postgres holds every byte back for half of the time, in each direction; the sink waits before it answers.",
	})
	check(p.stop())
}

// emptyPolling: what the relay's polls cost Postgres from a second after the last
// message on, beside the least that can be asked as often: waking a process has its
// price, in a virtual machine most of all.
func emptyPolling(ctx context.Context, db *database, length time.Duration) result {
	check(pause(ctx, time.Second))
	share := busyShare(db.relayBackends(ctx), func() { check(pause(ctx, length)) })
	least := db.leastPolling(ctx, length/2)
	return result{
		what:    "empty polling: CPU of the relay's Postgres backends",
		reached: fmt.Sprintf("%.2f%% of a core; a `select 1` every %s: %.2f%%", 100*share, leastEvery, 100*least),
		target:  "< 1% of a core",
		met:     share < 0.01,
		note:    fmt.Sprintf("Over %s, from a second after the last message on, while the relay still lingers; nanoseconds of /proc/<pid>/schedstat.", length),
	}
}

// leastEvery is about as often as the relay polls, on the average of that time.
const leastEvery = 30 * time.Millisecond

// leastPolling is the share of a core that a backend takes for a query that does nothing.
func (db *database) leastPolling(ctx context.Context, length time.Duration) float64 {
	conn := must(db.pool.Acquire(ctx))
	defer conn.Release()
	return busyShare([]int{int(conn.Conn().PgConn().PID())}, func() {
		for range length / leastEvery {
			check(pause(ctx, leastEvery))
			must(conn.Exec(ctx, "select 1"))
		}
	})
}

// busyShare is the part of a core that processes took while do ran.
func busyShare(pids []int, do func()) float64 {
	before := must(cpuTimes(pids))
	start := time.Now()
	do()
	return float64(must(cpuTimes(pids))-before) / float64(time.Since(start))
}
