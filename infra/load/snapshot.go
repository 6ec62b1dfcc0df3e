package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const (
	snapshotRate  = 50 // rows a second, each in a transaction of its own
	snapshotRooms = 50
)

// heldSnapshot: what a claim and an INSERT cost before a report holds its snapshot for a
// quarter of an hour, at the end of that, and after it. Nearly all of this is waiting.
func heldSnapshot(ctx context.Context, l *lab, db *database) {
	held, window := time.Duration(l.pick(15*60, 10))*time.Second, time.Duration(l.pick(60, 5))*time.Second
	// The claim's time is the server's own, taken where the function begins and ends.
	db.set(ctx, "track_functions = pl")
	l.awakeFunction(ctx, db)
	writer := db.connect(ctx)
	defer writer.Close(context.WithoutCancel(ctx))
	writing, stop := context.WithCancel(ctx)
	var chat errgroup.Group
	defer func() {
		stop()
		if err := chat.Wait(); !errors.Is(err, context.Canceled) {
			check(err)
		}
	}()
	chat.Go(func() error { return writeSteadily(writing, writer) })

	check(pause(ctx, window)) // plans and caches
	before := db.costs(ctx, writer, window)
	reader := db.holdSnapshot(ctx)
	defer reader.Close(context.WithoutCancel(ctx))
	check(pause(ctx, held-window))
	during := db.costs(ctx, writer, window)
	said := l.doctor(ctx, db, "snapshots")
	must(reader.Exec(ctx, `rollback`))
	check(pause(ctx, window)) // autovacuum comes once a minute
	l.found(snapshotResults(held, before, during, db.costs(ctx, writer, window), said)...)
}

// writeSteadily commits one row after another until ctx ends.
func writeSteadily(ctx context.Context, conn *pgx.Conn) error {
	tick := time.NewTicker(time.Second / snapshotRate)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if _, err := conn.Exec(ctx, insertSQL, n%snapshotRooms, "a message of usual length, more or less, number "+strconv.Itoa(n)); err != nil {
			return err
		}
	}
}

// holdSnapshot leaves a report open that reads the database as it was.
func (db *database) holdSnapshot(ctx context.Context) *pgx.Conn {
	conn := db.connect(ctx)
	for _, sql := range []string{`set application_name = 'the yearly report'`, `begin isolation level repeatable read`, `select count(*) from roomcast.rooms`} {
		must(conn.Exec(ctx, sql))
	}
	return conn
}

// rowCost is what the chat and the relay took for a row, and how large the tables are.
type rowCost struct {
	claim, relay, insert time.Duration // time of a claim in the server; CPU of the relay's backends; CPU of an INSERT
	rooms, cursor        int64         // bytes of the tables
	load                 string
}

// reading is what is counted at one moment.
type reading struct {
	claims, rows  int64
	claimMs       float64
	relay, writer time.Duration
}

func (db *database) read(ctx context.Context, writer *pgx.Conn) (r reading) {
	check(db.pool.QueryRow(ctx, `
		select coalesce(sum(f.calls), 0)::bigint, coalesce(sum(f.total_time), 0), (select sum(head_seq)::bigint from roomcast.rooms)
		  from pg_stat_user_functions f where f.schemaname = 'roomcast' and f.funcname = 'claim'`).Scan(&r.claims, &r.claimMs, &r.rows))
	r.relay, r.writer = must(cpuTimes(db.relayBackends(ctx))), must(cpuTime(int(writer.PgConn().PID())))
	return r
}

// costs measures for so long.
func (db *database) costs(ctx context.Context, writer *pgx.Conn, window time.Duration) (c rowCost) {
	from := db.read(ctx, writer)
	check(pause(ctx, window))
	to := db.read(ctx, writer)
	claims, rows := to.claims-from.claims, to.rows-from.rows
	if claims == 0 || rows == 0 {
		check(errors.New("nothing was claimed"))
	}
	c.claim = time.Duration((to.claimMs - from.claimMs) / float64(claims) * float64(time.Millisecond))
	c.relay, c.insert = (to.relay-from.relay)/time.Duration(rows), (to.writer-from.writer)/time.Duration(rows)
	c.load = loadAverage()
	check(db.pool.QueryRow(ctx, `select pg_relation_size('roomcast.rooms'), pg_relation_size('roomcast.cursor')`).Scan(&c.rooms, &c.cursor))
	return c
}

// doctor returns what one of its checks says.
func (l *lab) doctor(ctx context.Context, db *database, check string) string {
	path := l.binary(ctx, "infra/ops")
	out := l.output(ctx, []string{"OWNER_DATABASE_URL=" + db.owner, "DATABASE_URL=" + db.relay}, path, "doctor", check)
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == check {
			return strings.Join(fields, " ")
		}
	}
	return "nothing"
}

// snapshotResults says what grew while the snapshot was held.
func snapshotResults(held time.Duration, before, during, after rowCost, doctor string) []result {
	across := func(figure func(rowCost) string) string {
		return figure(before) + " → " + figure(during) + " → " + figure(after)
	}
	return []result{{
		what:    fmt.Sprintf("a claim in the server before, after %s of a held snapshot at %d rows/s in %d rooms, and once it ended", held, snapshotRate, snapshotRooms),
		reached: across(func(c rowCost) string { return us(c.claim) }),
		target:  "within twice",
		met:     during.claim <= 2*before.claim,
		note: fmt.Sprintf("Mean of all claims of a minute (pg_stat_user_functions). CPU of the relay's backends for a row: %s; of an INSERT: %s. roomcast.rooms: %s; roomcast.cursor: %s. Load average: %s.",
			across(func(c rowCost) string { return us(c.relay) }), across(func(c rowCost) string { return us(c.insert) }),
			across(func(c rowCost) string { return mb(c.rooms) }), across(func(c rowCost) string { return mb(c.cursor) }), across(func(c rowCost) string { return c.load })),
	}, {what: "what doctor says of that snapshot", reached: doctor}}
}
