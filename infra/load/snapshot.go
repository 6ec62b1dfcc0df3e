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
func heldSnapshot(ctx context.Context, l *lab, db *database) (_ []result, err error) {
	held, window := time.Duration(l.pick(15*60, 10))*time.Second, time.Duration(l.pick(60, 5))*time.Second
	// The claim's time is the server's own, taken where the function begins and ends.
	if _, err := db.pool.Exec(ctx, `do $$ begin execute format('alter database %I set track_functions = pl', current_database()); end $$`); err != nil {
		return nil, err
	}
	if _, err := l.awakeFunction(ctx, db); err != nil {
		return nil, err
	}
	writer, err := pgx.Connect(ctx, db.owner)
	if err != nil {
		return nil, err
	}
	defer writer.Close(context.WithoutCancel(ctx))
	writing, stop := context.WithCancel(ctx)
	var chat errgroup.Group
	defer func() {
		stop()
		if e := chat.Wait(); !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
	}()
	chat.Go(func() error { return writeSteadily(writing, writer) })

	if err := pause(ctx, window); err != nil { // plans and caches
		return nil, err
	}
	before, err := db.costs(ctx, writer, window)
	if err != nil {
		return nil, err
	}
	reader, err := db.holdSnapshot(ctx)
	if err != nil {
		return nil, err
	}
	defer reader.Close(context.WithoutCancel(ctx))
	if err := pause(ctx, held-window); err != nil {
		return nil, err
	}
	during, err := db.costs(ctx, writer, window)
	if err != nil {
		return nil, err
	}
	said, err := l.doctor(ctx, db, "snapshots")
	if err != nil {
		return nil, err
	}
	if _, err := reader.Exec(ctx, `rollback`); err != nil {
		return nil, err
	}
	if err := pause(ctx, window); err != nil { // autovacuum comes once a minute
		return nil, err
	}
	after, err := db.costs(ctx, writer, window)
	return snapshotResults(held, before, during, after, said), err
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
func (db *database) holdSnapshot(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, db.owner)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{`set application_name = 'the yearly report'`, `begin isolation level repeatable read`, `select count(*) from roomcast.rooms`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, errors.Join(err, conn.Close(ctx))
		}
	}
	return conn, nil
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

func (db *database) read(ctx context.Context, writer *pgx.Conn) (r reading, err error) {
	err = db.pool.QueryRow(ctx, `
		select coalesce(sum(f.calls), 0)::bigint, coalesce(sum(f.total_time), 0), (select sum(head_seq)::bigint from roomcast.rooms)
		  from pg_stat_user_functions f where f.schemaname = 'roomcast' and f.funcname = 'claim'`).Scan(&r.claims, &r.claimMs, &r.rows)
	if err != nil {
		return r, err
	}
	pids, err := db.relayBackends(ctx)
	if err != nil {
		return r, err
	}
	if r.relay, err = cpuTimes(pids); err != nil {
		return r, err
	}
	r.writer, err = cpuTime(int(writer.PgConn().PID()))
	return r, err
}

// costs measures for so long.
func (db *database) costs(ctx context.Context, writer *pgx.Conn, window time.Duration) (c rowCost, err error) {
	from, err := db.read(ctx, writer)
	if err != nil {
		return c, err
	}
	if err := pause(ctx, window); err != nil {
		return c, err
	}
	to, err := db.read(ctx, writer)
	if err != nil {
		return c, err
	}
	claims, rows := to.claims-from.claims, to.rows-from.rows
	if claims == 0 || rows == 0 {
		return c, errors.New("nothing was claimed")
	}
	c.claim = time.Duration((to.claimMs - from.claimMs) / float64(claims) * float64(time.Millisecond))
	c.relay, c.insert = (to.relay-from.relay)/time.Duration(rows), (to.writer-from.writer)/time.Duration(rows)
	c.load = loadAverage()
	return c, db.pool.QueryRow(ctx, `select pg_relation_size('roomcast.rooms'), pg_relation_size('roomcast.cursor')`).Scan(&c.rooms, &c.cursor)
}

// doctor returns what one of its checks says.
func (l *lab) doctor(ctx context.Context, db *database, check string) (string, error) {
	path, err := l.binary(ctx, "infra/ops")
	if err != nil {
		return "", err
	}
	out, err := l.output(ctx, []string{"OWNER_DATABASE_URL=" + db.owner, "DATABASE_URL=" + db.relay}, path, "doctor", check)
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == check {
			return strings.Join(fields, " "), err
		}
	}
	return "nothing", err
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
