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
	costs, err := insertCosts(ctx, db, l.pick(12, 2), l.pick(250, 100))
	if err != nil {
		return result{}, err
	}
	bare := costs[bareTable]
	ours, hook := costs[roomcastTable]-bare, costs[hookTable]-bare
	share := float64(ours) / float64(hook)
	return result{
		what:    what,
		reached: fmt.Sprintf("%s, %.2f of the webhook's %s (bare INSERT: %s)", us(ours), share, us(hook), us(bare)),
		target:  "≤ 0.6 of a dashboard webhook",
		met:     share <= 0.6,
		note:    "Medians of single-row transactions on one connection, tables in turns; synchronous_commit is off here, so that the disk's share does not hide the triggers'.",
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
	return box.Wake(ctx, awake)
}

// insertCosts returns the median time of one INSERT into each table.
func insertCosts(ctx context.Context, db *database, rounds, inserts int) (map[string]time.Duration, error) {
	conn, err := pgx.Connect(ctx, db.owner)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `set synchronous_commit = off`); err != nil {
		return nil, err
	}
	times := map[string][]time.Duration{}
	for range rounds {
		for _, table := range []string{bareTable, roomcastTable, hookTable} {
			sql := `insert into ` + table + ` (room_id, user_id, content) values (public.room($1), gen_random_uuid(), 'a message of usual length, more or less')`
			for i := range inserts {
				start := time.Now()
				if _, err := conn.Exec(ctx, sql, i%20); err != nil {
					return nil, fmt.Errorf("insert into %s: %w", table, err)
				}
				times[table] = append(times[table], time.Since(start))
			}
		}
		// The queue is short when a sender works on it; what it holds would slow the bell's look.
		if _, err := conn.Exec(ctx, `delete from net.http_request_queue where id not in (select min(id) from net.http_request_queue)`); err != nil {
			return nil, err
		}
	}
	out := map[string]time.Duration{}
	for table, all := range times {
		out[table] = median(all)
	}
	return out, nil
}
