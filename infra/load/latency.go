package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

const insertSQL = `insert into public.messages (room_id, user_id, content) values (public.room($1), gen_random_uuid(), $2)`

// insertOne commits one message.
func (db *database) insertOne(ctx context.Context, room int, content string) error {
	_, err := db.pool.Exec(ctx, insertSQL, room, content)
	return err
}

// ring calls the function as pg_net does.
func ring(ctx context.Context, p *program) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.addr()+"/webhooks/supabase", bytes.NewReader([]byte(`{"type":"BELL"}`)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bellSecret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("bell: %s", resp.Status)
	}
	return nil
}

// pace writes one message after each gap, and waits until all are accepted.
func (l *lab) pace(ctx context.Context, db *database, gaps []time.Duration) ([]time.Duration, error) {
	watch := newStopwatch(len(gaps))
	hear := watch.hear
	l.sink.hear.Store(&hear)
	defer l.sink.hear.Store(nil)
	all := l.sink.expect(len(gaps))
	if err := db.writeAfter(ctx, gaps, watch, 20); err != nil {
		return nil, err
	}
	if _, err := all(ctx); err != nil {
		return nil, err
	}
	return watch.times(), nil
}

// writeAfter writes one message after each gap, in turns to so many rooms. Gaps are
// kept whatever an insert takes, so that a slow moment is not hidden.
func (db *database) writeAfter(ctx context.Context, gaps []time.Duration, watch *stopwatch, rooms int) error {
	at := time.Now()
	var writers errgroup.Group
	writers.SetLimit(4) // of the pool's connections
	for n, gap := range gaps {
		at = at.Add(gap)
		select {
		case <-time.After(time.Until(at)):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), writers.Wait())
		}
		writers.Go(func() error {
			if err := db.insertOne(ctx, n%rooms, mark+strconv.Itoa(n)); err != nil {
				return err
			}
			watch.commit(n)
			return nil
		})
	}
	return writers.Wait()
}

// latency: from a commit acknowledged to its event accepted, relay awake.
func latency(ctx context.Context, l *lab) (results []result, err error) {
	return results, l.with(ctx, func(db *database) error {
		p, err := l.function(ctx, "DATABASE_URL="+db.relay)
		if err != nil {
			return err
		}
		if err := ring(ctx, p); err != nil {
			return err
		}
		if _, err := l.pace(ctx, db, poisson(20, 50, 1)); err != nil { // connects, plans, caches
			return err
		}
		for _, c := range []struct{ rate, messages int }{
			{50, l.pick(750, 100)}, {3, l.pick(105, 9)}, {1, l.pick(45, 3)},
		} {
			times, err := l.pace(ctx, db, poisson(c.messages, float64(c.rate), 7))
			if err != nil {
				return err
			}
			results = append(results, latencyResult(c.rate, times))
		}
		polling, err := emptyPolling(ctx, db, time.Duration(l.pick(12, 3))*time.Second)
		if err != nil {
			return err
		}
		results = append(results, polling)
		return l.keepProfile(ctx, p, "latency")
	})
}

func latencyResult(rate int, times []time.Duration) result {
	p50, p99 := median(times), quantile(times, 0.99)
	return result{
		what:    fmt.Sprintf("commit acknowledged to accepted, awake, %d/s Poisson", rate),
		reached: fmt.Sprintf("p50 %s, p99 %s (%d messages)", ms(p50), ms(p99), len(times)),
		target:  "p50 ≤ 6 ms, p99 ≤ 25 ms",
		met:     p50 <= 6*time.Millisecond && p99 <= 25*time.Millisecond,
	}
}
