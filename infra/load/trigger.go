package main

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

var (
	//go:embed webhook.sql
	webhookSQL string
	//go:embed trigger.sql
	triggerSQL string
)

// The tables of trigger.sql.
const (
	bareTable     = "public.bare_messages"
	roomcastTable = "public.messages"
	hookTable     = "public.hook_messages"
)

var triggerTables = []string{bareTable, roomcastTable, hookTable}

// triggerCost: what the triggers add to one INSERT of a single row, commit included,
// and to statements of many rows, against what a dashboard webhook adds.
func triggerCost(ctx context.Context, l *lab, db *database) ([]result, error) {
	if err := outboxtest.Exec(ctx, db.owner, webhookSQL+triggerSQL); err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, db.owner)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `set synchronous_commit = off`); err != nil {
		return nil, err
	}
	var results []result
	for _, c := range []struct {
		what  string
		awake time.Duration
	}{
		{"triggers for one INSERT, relay awake", 50 * time.Second},
		{"the same, relay asleep, a wake-up on its way", 0},
	} {
		r, err := l.insertResult(ctx, db, conn, c.what, c.awake)
		if err != nil {
			return results, err
		}
		results = append(results, r)
	}
	bulk, err := l.bulkResults(ctx, db, conn)
	return append(results, bulk...), err
}

func (l *lab) insertResult(ctx context.Context, db *database, conn *pgx.Conn, what string, awake time.Duration) (result, error) {
	costs, err := insertCosts(ctx, db, conn, awake, l.pick(20, 2), l.pick(250, 100))
	if err != nil {
		return result{}, err
	}
	bare, ours, hook := costs[bareTable], costs[roomcastTable], costs[hookTable]
	share := float64(ours.cpu-bare.cpu) / float64(hook.cpu-bare.cpu)
	return result{
		what:    what,
		reached: fmt.Sprintf("adds %s of CPU, %.2f of the webhook's %s (a bare INSERT: %s)", us(ours.cpu-bare.cpu), share, us(hook.cpu-bare.cpu), us(bare.cpu)),
		target:  "≤ 0.5 of a dashboard webhook",
		met:     share <= 0.5,
		note: fmt.Sprintf("Single-row transactions on one connection, tables in turns, medians of %d turns at most; what the connection's Postgres process computes (schedstat), commit included. What the client waits for: %s bare, %s more with Roomcast, %s more with the webhook, without the disk (synchronous_commit off).",
			l.pick(20, 2), us(bare.elapsed), us(ours.elapsed-bare.elapsed), us(hook.elapsed-bare.elapsed)),
	}, nil
}

// lease makes the relay look awake for so long, or asleep, and configures the webhook.
func (db *database) lease(ctx context.Context, awake time.Duration) error {
	box, err := outbox.Open(db.relay, 1)
	if err != nil {
		return err
	}
	defer box.Close()
	if _, err := db.pool.Exec(ctx, `select roomcast.configure(url => 'http://127.0.0.1:9/webhooks/supabase', secret => $1)`, webhookSecret); err != nil {
		return err
	}
	if awake == 0 {
		return box.LeaveAwake(ctx)
	}
	return box.StartAwake(ctx, awake, "")
}

// insertCost is what one INSERT takes.
type insertCost struct{ cpu, elapsed time.Duration }

// insertTime and bulkTime are when no further round is begun.
const (
	insertTime = 40 * time.Second
	bulkTime   = 60 * time.Second
)

// insertCosts returns the medians for each table.
func insertCosts(ctx context.Context, db *database, conn *pgx.Conn, awake time.Duration, rounds, inserts int) (map[string]insertCost, error) {
	cpu, elapsed := map[string][]time.Duration{}, map[string][]time.Duration{}
	for round := range within(rounds+1, 6, insertTime) {
		if err := db.lease(ctx, awake); err != nil {
			return nil, err
		}
		for _, table := range triggerTables {
			turn, each, err := insertTurn(ctx, conn, table, inserts, 20)
			if err != nil {
				return nil, fmt.Errorf("insert into %s: %w", table, err)
			}
			if round > 0 { // the first plans and fills caches
				cpu[table], elapsed[table] = append(cpu[table], turn), append(elapsed[table], each...)
			}
		}
		// The queue is short when a sender works on it; what it holds would slow the wake-up's
		// look-up.
		if _, err := conn.Exec(ctx, `delete from net.http_request_queue where id not in (select min(id) from net.http_request_queue)`); err != nil {
			return nil, err
		}
	}
	out := map[string]insertCost{}
	for _, table := range triggerTables {
		out[table] = insertCost{median(cpu[table]), median(elapsed[table])}
	}
	return out, nil
}

// insertTurn returns the CPU time of one INSERT, spread over rooms, and how long each took.
func insertTurn(ctx context.Context, conn *pgx.Conn, table string, inserts, rooms int) (cpu time.Duration, elapsed []time.Duration, err error) {
	sql := `insert into ` + table + ` (room_id, user_id, content) values (public.room($1), gen_random_uuid(), 'a message of usual length, more or less')`
	cpu, err = backendTime(conn, func() error {
		for i := range inserts {
			start := time.Now()
			if _, err := conn.Exec(ctx, sql, i*7919%rooms); err != nil {
				return err
			}
			elapsed = append(elapsed, time.Since(start))
		}
		return nil
	})
	return cpu / time.Duration(inserts), elapsed, err
}

// backendTime is what a connection's Postgres process computes meanwhile.
func backendTime(conn *pgx.Conn, do func() error) (time.Duration, error) {
	pid := int(conn.PgConn().PID())
	before, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := cpuTime(pid)
	return after - before, err
}

const (
	bulkRows  = 50_000
	bulkRooms = 500 // so that no room has enough of one statement for a bulk-change event
)

// bulkStatements, in this order: each meets the rows that the one before left.
var bulkStatements = []struct{ name, sql string }{
	{"COPY", ""}, // by the protocol
	{"UPDATE", "update %s set content = content || '!'"},
	{"UPDATE of nothing relayed", "update %s set views = views + 1"},
	{"DELETE", "delete from %s"},
}

// bulkResults compares statements of many rows, by CPU and row beyond the bare table's.
func (l *lab) bulkResults(ctx context.Context, db *database, conn *pgx.Conn) ([]result, error) {
	rows := l.pick(bulkRows, bulkRows/10)
	box, err := outbox.Open(db.relay, 4)
	if err != nil {
		return nil, err
	}
	defer box.Close()
	if err := outboxtest.Exec(ctx, db.owner, "truncate "+strings.Join(triggerTables, ", ")); err != nil {
		return nil, err
	}
	cost := map[string][]time.Duration{} // by statement and table, a row
	for range within(l.pick(3, 1), 1, bulkTime) {
		for _, table := range triggerTables {
			for _, s := range bulkStatements {
				if err := db.lease(ctx, 50*time.Second); err != nil {
					return nil, err
				}
				took, err := backendTime(conn, func() error { return bulkStatement(ctx, conn, table, s.sql, rows) })
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", s.name, table, err)
				}
				cost[s.name+table] = append(cost[s.name+table], took/time.Duration(rows))
			}
		}
		// What a sender and a relay would have taken away meanwhile.
		if err := outboxtest.Exec(ctx, db.owner, `truncate net.http_request_queue`); err != nil {
			return nil, err
		}
		if err := relayInto(box, newCounter(0)).Empty(ctx); err != nil {
			return nil, err
		}
		if err := db.quiesce(ctx); err != nil {
			return nil, err
		}
	}
	return bulkLines(rows, func(statement, table string) time.Duration {
		return median(cost[statement+table]) - median(cost[statement+bareTable])
	}, median(cost["COPY"+bareTable])), nil
}

func bulkStatement(ctx context.Context, conn *pgx.Conn, table, sql string, rows int) error {
	if sql != "" {
		_, err := conn.Exec(ctx, fmt.Sprintf(sql, table))
		return err
	}
	_, err := conn.CopyFrom(ctx, strings.Split(table, "."), []string{"room_id", "user_id", "content"}, pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
		return []any{roomID(i % bulkRooms), roomID(i), fmt.Sprintf("a message of usual length, more or less, number %d", i)}, nil
	}))
	return err
}

// bulkLines are the table's, from what each statement adds to a row.
func bulkLines(rows int, added func(statement, table string) time.Duration, bareCopy time.Duration) (lines []result) {
	for _, c := range []struct {
		statement string
		most      float64
	}{{"UPDATE", 0.5}, {"DELETE", 1}, {"UPDATE of nothing relayed", 0.25}} {
		ours, hook := added(c.statement, roomcastTable), added(c.statement, hookTable)
		share := float64(ours) / float64(hook)
		lines = append(lines, result{
			what:    fmt.Sprintf("%s of %s rows, CPU a row against a webhook's trigger", c.statement, count(rows)),
			reached: fmt.Sprintf("adds %s, %.2f of the webhook's %s", us1(ours), share, us1(hook)),
			target:  fmt.Sprintf("≤ %v", c.most),
			met:     share <= c.most,
		})
	}
	ours := added("COPY", roomcastTable)
	return append(lines, result{
		what:    fmt.Sprintf("COPY of %s rows, CPU a row", count(rows)),
		reached: fmt.Sprintf("adds %s (a bare COPY: %s; the webhook adds %s)", us1(ours), us1(bareCopy), us1(added("COPY", hookTable))),
		target:  "≤ 10 µs",
		met:     ours <= 10*time.Microsecond,
		note:    fmt.Sprintf("These four: one statement each, in %d rooms, medians of what the connection's Postgres process computes, beyond the same statement on a table without triggers.", bulkRooms),
	})
}
