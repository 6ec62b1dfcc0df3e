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

// burst is the issue's: so many inserts in so long a time.
const (
	burstMessages = 6000
	burstTime     = 2 * time.Second
	burstWriters  = 16
)

// bells: how often a burst rings, the relay asleep at first.
func bells(ctx context.Context, l *lab) (results []result, err error) {
	return results, l.with(ctx, func(db *database) error {
		sender, err := pgnet.Start(ctx, db.owner)
		if err != nil {
			return err
		}
		defer sender.Stop()
		if _, err := l.asleepFunction(ctx, db); err != nil {
			return err
		}
		messages := l.pick(burstMessages, burstMessages/4)
		all := l.sink.expect(messages)
		start := time.Now()
		if err := db.burst(ctx, messages, burstTime); err != nil {
			return err
		}
		wrote := time.Since(start)
		last, err := all(ctx)
		if err != nil {
			return err
		}
		rung := sender.Requests()
		results = append(results, result{
			what:    fmt.Sprintf("bells for a burst of %s inserts in 2 s", count(messages)),
			reached: fmt.Sprintf("%d", rung),
			target:  "≤ 5",
			met:     rung <= 5,
			note: fmt.Sprintf("%d writers, one transaction for each message, written in %.1f s; the last event was accepted %s after the last commit. Relay asleep at first.",
				burstWriters, wrote.Seconds(), ms(max(0, last.Sub(start)-wrote))),
		})
		return nil
	})
}

// burst commits messages evenly over the time, from several connections.
func (db *database) burst(ctx context.Context, messages int, length time.Duration) error {
	config := db.pool.Config()
	config.MaxConns = burstWriters
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
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
	return g.Wait()
}
