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

func triggerTables() []string {
	return []string{bareTable, roomcastTable, hookTable}
}

// triggerCost: what the triggers add to one INSERT of a single row, commit included,
// and to statements of many rows, against what a dashboard webhook adds.
func triggerCost(ctx context.Context, l *lab, db *database) {
	check(outboxtest.Exec(ctx, db.owner, webhookSQL+triggerSQL))
	conn := db.connect(ctx)
	defer conn.Close(context.WithoutCancel(ctx))
	must(conn.Exec(ctx, `set synchronous_commit = off`))
	for _, c := range []struct {
		what  string
		awake time.Duration
	}{
		{"triggers for one INSERT, relay awake", 50 * time.Second},
		{"the same, relay asleep, a wake-up on its way", 0},
	} {
		l.found(l.insertResult(ctx, db, conn, c.what, c.awake))
	}
	l.found(l.bulkResults(ctx, db, conn)...)
}

func (l *lab) insertResult(ctx context.Context, db *database, conn *pgx.Conn, what string, awake time.Duration) result {
	costs := insertCosts(ctx, db, conn, awake, l.pick(20, 2), l.pick(250, 100))
	bare, ours, hook := costs[bareTable], costs[roomcastTable], costs[hookTable]
	share := float64(ours.cpu-bare.cpu) / float64(hook.cpu-bare.cpu)
	return result{
		what:    what,
		reached: fmt.Sprintf("adds %s of CPU, %.2f of the webhook's %s (a bare INSERT: %s)", us(ours.cpu-bare.cpu), share, us(hook.cpu-bare.cpu), us(bare.cpu)),
		target:  "≤ 0.5 of a dashboard webhook",
		met:     share <= 0.5,
		note: fmt.Sprintf("Single-row transactions on one connection, tables in turns, medians of %d turns at most; what the connection's Postgres process computes (schedstat), commit included. What the client waits for: %s bare, %s more with Roomcast, %s more with the webhook, without the disk (synchronous_commit off).",
			l.pick(20, 2), us(bare.elapsed), us(ours.elapsed-bare.elapsed), us(hook.elapsed-bare.elapsed)),
	}
}

// lease makes the relay look awake for so long, or asleep, and configures the webhook.
func (db *database) lease(ctx context.Context, awake time.Duration) {
	box := must(outbox.Open(db.relay, 1))
	defer box.Close()
	must(db.pool.Exec(ctx, `select roomcast.configure(url => 'http://127.0.0.1:9/webhooks/supabase', secret => $1)`, webhookSecret))
	if awake == 0 {
		check(box.LeaveAwake(ctx))
	} else {
		check(box.StartAwake(ctx, awake, ""))
	}
}

// insertCost is what one INSERT takes.
type insertCost struct{ cpu, elapsed time.Duration }

// insertTime and bulkTime are when no further round is begun.
const (
	insertTime = 40 * time.Second
	bulkTime   = 60 * time.Second
)

// insertCosts returns the medians for each table.
func insertCosts(ctx context.Context, db *database, conn *pgx.Conn, awake time.Duration, rounds, inserts int) map[string]insertCost {
	cpu, elapsed := map[string][]time.Duration{}, map[string][]time.Duration{}
	for round := range within(rounds+1, 6, insertTime) {
		db.lease(ctx, awake)
		for _, table := range triggerTables() {
			turn, each := insertTurn(ctx, conn, table, inserts, 20)
			if round > 0 { // the first plans and fills caches
				cpu[table], elapsed[table] = append(cpu[table], turn), append(elapsed[table], each...)
			}
		}
		// The queue is short when a sender works on it; what it holds would slow the wake-up's
		// look-up.
		must(conn.Exec(ctx, `delete from net.http_request_queue where id not in (select min(id) from net.http_request_queue)`))
	}
	out := map[string]insertCost{}
	for _, table := range triggerTables() {
		out[table] = insertCost{median(cpu[table]), median(elapsed[table])}
	}
	return out
}

// insertTurn returns the CPU time of one INSERT, spread over rooms, and how long each took.
func insertTurn(ctx context.Context, conn *pgx.Conn, table string, inserts, rooms int) (cpu time.Duration, elapsed []time.Duration) {
	sql := `insert into ` + table + ` (room_id, user_id, content) values (public.room($1), gen_random_uuid(), 'a message of usual length, more or less')`
	cpu = backendTime(conn, func() {
		for i := range inserts {
			start := time.Now()
			must(conn.Exec(ctx, sql, i*7919%rooms))
			elapsed = append(elapsed, time.Since(start))
		}
	})
	return cpu / time.Duration(inserts), elapsed
}

// backendTime is what a connection's Postgres process computes meanwhile.
func backendTime(conn *pgx.Conn, do func()) time.Duration {
	pid := int(conn.PgConn().PID())
	before := must(cpuTime(pid))
	do()
	return must(cpuTime(pid)) - before
}

const (
	bulkRows  = 50_000
	bulkRooms = 500 // so that no room has enough of one statement for a bulk-change event
)

// bulkStatements, in this order: each meets the rows that the one before left.
func bulkStatements() []struct{ name, sql string } {
	return []struct{ name, sql string }{
		{"COPY", ""}, // by the protocol
		{"UPDATE", "update %s set content = content || '!'"},
		{"UPDATE of nothing relayed", "update %s set views = views + 1"},
		{"DELETE", "delete from %s"},
	}
}

// bulkResults compares statements of many rows, by CPU and row beyond the bare table's.
func (l *lab) bulkResults(ctx context.Context, db *database, conn *pgx.Conn) []result {
	rows := l.pick(bulkRows, bulkRows/10)
	box := must(outbox.Open(db.relay, 4))
	defer box.Close()
	check(outboxtest.Exec(ctx, db.owner, "truncate "+strings.Join(triggerTables(), ", ")))
	cost := map[string][]time.Duration{} // by statement and table, a row
	for range within(l.pick(3, 1), 1, bulkTime) {
		for _, table := range triggerTables() {
			for _, s := range bulkStatements() {
				db.lease(ctx, 50*time.Second)
				took := backendTime(conn, func() { bulkStatement(ctx, conn, table, s.sql, rows) })
				cost[s.name+table] = append(cost[s.name+table], took/time.Duration(rows))
			}
		}
		// What a sender and a relay would have taken away meanwhile.
		check(outboxtest.Exec(ctx, db.owner, `truncate net.http_request_queue`))
		check(l.relayHere(box).Empty(ctx))
		db.quiesce(ctx)
	}
	return bulkLines(rows, func(statement, table string) time.Duration {
		return median(cost[statement+table]) - median(cost[statement+bareTable])
	}, median(cost["COPY"+bareTable]))
}

func bulkStatement(ctx context.Context, conn *pgx.Conn, table, sql string, rows int) {
	if sql != "" {
		must(conn.Exec(ctx, fmt.Sprintf(sql, table)))
		return
	}
	must(conn.CopyFrom(ctx, strings.Split(table, "."), []string{"room_id", "user_id", "content"}, pgx.CopyFromSlice(rows, func(i int) ([]any, error) {
		return []any{roomID(i % bulkRooms), roomID(i), fmt.Sprintf("a message of usual length, more or less, number %d", i)}, nil
	})))
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
