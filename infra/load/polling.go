package main

import (
	"context"
	"fmt"
	"time"
)

// emptyPolling: what the relay's polls cost Postgres from a second after the last
// message on, beside the least that can be asked as often: waking a process has its
// price, in a virtual machine most of all.
func emptyPolling(ctx context.Context, db *database, length time.Duration) (result, error) {
	if err := pause(ctx, time.Second); err != nil {
		return result{}, err
	}
	pids, err := db.relayBackends(ctx)
	if err != nil {
		return result{}, err
	}
	share, err := busyShare(pids, func() error { return pause(ctx, length) })
	if err != nil {
		return result{}, err
	}
	least, err := db.leastPolling(ctx, length/2)
	return result{
		what:    "empty polling: CPU of the relay's Postgres backends",
		reached: fmt.Sprintf("%.2f%% of a core; a `select 1` every %s: %.2f%%", 100*share, leastEvery, 100*least),
		target:  "< 1% of a core",
		met:     share < 0.01,
		note:    fmt.Sprintf("Over %s, from a second after the last message on, while the relay still lingers; nanoseconds of /proc/<pid>/schedstat.", length),
	}, err
}

// leastEvery is about as often as the relay looks, on the average of that time.
const leastEvery = 30 * time.Millisecond

// leastPolling is the share of a core that a backend takes for a query that does nothing.
func (db *database) leastPolling(ctx context.Context, length time.Duration) (float64, error) {
	conn, err := db.pool.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	return busyShare([]int{int(conn.Conn().PgConn().PID())}, func() error {
		for range length / leastEvery {
			if err := pause(ctx, leastEvery); err != nil {
				return err
			}
			if _, err := conn.Exec(ctx, "select 1"); err != nil {
				return err
			}
		}
		return nil
	})
}

// busyShare is the part of a core that processes took while do ran.
func busyShare(pids []int, do func() error) (float64, error) {
	before, err := cpuTimes(pids)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := do(); err != nil {
		return 0, err
	}
	after, err := cpuTimes(pids)
	return float64(after-before) / float64(time.Since(start)), err
}
