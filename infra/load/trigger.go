package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

//go:embed trigger.sql
var triggerSQL string

// The tables of trigger.sql.
const (
	bareTable     = "public.bare_messages"
	roomcastTable = "public.messages"
	hookTable     = "public.hook_messages"
)

// triggerCost: what the triggers add to one INSERT of a single row, commit included,
// against what a dashboard webhook adds.
func triggerCost(ctx context.Context, l *lab) (results []result, err error) {
	return results, l.with(ctx, func(db *database) error {
		if err := outboxtest.Exec(ctx, db.owner, triggerSQL); err != nil {
			return err
		}
		for _, c := range []struct {
			what  string
			awake time.Duration
		}{
			{"triggers for one INSERT, relay awake", time.Hour},
			{"the same, relay asleep, a bell on its way", 0},
		} {
			r, err := l.triggerResult(ctx, db, c.what, c.awake)
			if err != nil {
				return err
			}
			results = append(results, r)
		}
		return nil
	})
}

func (l *lab) triggerResult(ctx context.Context, db *database, what string, awake time.Duration) (result, error) {
	if err := db.lease(ctx, awake); err != nil {
		return result{}, err
	}
	costs, err := insertCosts(ctx, db, l.pick(20, 2), l.pick(250, 100))
	if err != nil {
		return result{}, err
	}
	bare, ours, hook := costs[bareTable], costs[roomcastTable], costs[hookTable]
	share := float64(ours.cpu-bare.cpu) / float64(hook.cpu-bare.cpu)
	return result{
		what:    what,
		reached: fmt.Sprintf("adds %s of CPU, %.2f of the webhook's %s (a bare INSERT: %s)", us(ours.cpu-bare.cpu), share, us(hook.cpu-bare.cpu), us(bare.cpu)),
		target:  "≤ 0.6 of a dashboard webhook",
		met:     share <= 0.6,
		note: fmt.Sprintf("Single-row transactions on one connection, tables in turns, medians of %d turns; what the connection's Postgres process computes (schedstat), commit included. What the client waits for: %s bare, %s more with Roomcast, %s more with the webhook, without the disk (synchronous_commit off).",
			l.pick(20, 2), us(bare.elapsed), us(ours.elapsed-bare.elapsed), us(hook.elapsed-bare.elapsed)),
	}, nil
}

// lease makes the relay look awake for so long, or asleep, and configures the bell.
func (db *database) lease(ctx context.Context, awake time.Duration) error {
	box, err := outbox.Open(db.relay, 1)
	if err != nil {
		return err
	}
	defer box.Close()
	if _, err := db.pool.Exec(ctx, `select roomcast.configure(url => 'http://127.0.0.1:9/webhooks/supabase', secret => $1)`, bellSecret); err != nil {
		return err
	}
	if awake == 0 {
		return box.LeaveAwake(ctx)
	}
	return box.StartAwake(ctx, awake)
}

// insertCost is what one INSERT takes.
type insertCost struct{ cpu, elapsed time.Duration }

// insertCosts returns the medians for each table.
func insertCosts(ctx context.Context, db *database, rounds, inserts int) (map[string]insertCost, error) {
	conn, err := pgx.Connect(ctx, db.owner)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `set synchronous_commit = off`); err != nil {
		return nil, err
	}
	tables := []string{bareTable, roomcastTable, hookTable}
	cpu, elapsed := map[string][]time.Duration{}, map[string][]time.Duration{}
	for round := range rounds + 1 {
		for _, table := range tables {
			turn, each, err := insertTurn(ctx, conn, table, inserts)
			if err != nil {
				return nil, fmt.Errorf("insert into %s: %w", table, err)
			}
			if round > 0 { // the first plans and fills caches
				cpu[table], elapsed[table] = append(cpu[table], turn), append(elapsed[table], each...)
			}
		}
		// The queue is short when a sender works on it; what it holds would slow the bell's look.
		if _, err := conn.Exec(ctx, `delete from net.http_request_queue where id not in (select min(id) from net.http_request_queue)`); err != nil {
			return nil, err
		}
	}
	out := map[string]insertCost{}
	for _, table := range tables {
		out[table] = insertCost{median(cpu[table]), median(elapsed[table])}
	}
	return out, nil
}

// insertTurn returns the CPU time of one INSERT, and how long each took.
func insertTurn(ctx context.Context, conn *pgx.Conn, table string, inserts int) (cpu time.Duration, elapsed []time.Duration, err error) {
	sql := `insert into ` + table + ` (room_id, user_id, content) values (public.room($1), gen_random_uuid(), 'a message of usual length, more or less')`
	pid := int(conn.PgConn().PID())
	before, err := cpuTime(pid)
	if err != nil {
		return 0, nil, err
	}
	for i := range inserts {
		start := time.Now()
		if _, err := conn.Exec(ctx, sql, i%20); err != nil {
			return 0, nil, err
		}
		elapsed = append(elapsed, time.Since(start))
	}
	after, err := cpuTime(pid)
	return (after - before) / time.Duration(inserts), elapsed, err
}
