package main

import (
	"context"
	"fmt"
	"time"

	"roomcast/shared/outbox"
)

// sentOneByOne are rows as a live chat leaves them, each in a transaction and a range of
// its own, all sent.
const sentOneByOne = `
	insert into roomcast.outbox (id, xid, at, attached, op, room, key_hash, record) overriding system value
	select i, (1000 + i)::text::xid8, now() - interval '1 hour', 1, 'INSERT', public.room(i %% %[2]d)::text, hashtextextended(i::text, 0),
	       jsonb_build_object('id', public.room(i), 'room_id', public.room(i %% %[2]d), 'user_id', public.room(i), 'created_at', now(),
	                          'content', 'a message of usual length, more or less, number ' || i)
	  from generate_series(1, %[1]d) i;
	select setval(pg_get_serial_sequence('roomcast.outbox', 'id'), %[1]d);
	insert into roomcast.seq_ranges (room, first_seq, last_seq, ids)
	select public.room(i %% %[2]d)::text, (i - 1) / %[2]d + 1, (i - 1) / %[2]d + 1, array[i] from generate_series(1, %[1]d) i;
	insert into roomcast.rooms (room, head_seq, sent_seq) select g.room, max(g.last_seq), max(g.last_seq) from roomcast.seq_ranges g group by g.room;
	insert into roomcast.cursor (next_xid, open_xids) values ((1001 + %[1]d)::text::xid8, '{}')`

// restored: how soon a relay is awake in a copy with a million kept rows: in another
// cluster, the same with rows that were written before it came, and on another timeline.
func restored(ctx context.Context, l *lab, db *database) {
	rows, late := l.pick(keptRows, 10_000), l.pick(20_000, 1000)
	must(db.pool.Exec(ctx, fmt.Sprintf(sentOneByOne, rows, keptRooms)))
	db.quiesce(ctx)
	const cluster, timeline = `'another:' || roomcast.identity()`, `left(roomcast.identity(), -1) || 'F'`
	for _, c := range []struct {
		what, identity string
		late           int
	}{
		{"in another cluster", cluster, 0},
		{"in another cluster, with " + count(late) + " rows written before", cluster, late},
		{"on another timeline", timeline, 0},
	} {
		cpu, took := db.awakeIn(ctx, c.identity, c.late)
		l.found(result{
			what:    fmt.Sprintf("awake %s, %s rows kept", c.what, count(rows)),
			reached: fmt.Sprintf("%s of CPU, %s of time", ms(cpu), ms(took)),
			target:  "≤ 5 s",
			met:     took <= 5*time.Second,
			note:    "start_awake() in the server. Load average: " + loadAverage() + ".",
		})
	}
	l.found(result{what: "the first claim after that, in another cluster", reached: ms(db.firstClaimIn(ctx, cluster))})
}

// awakeIn is what start_awake() takes where rows were last numbered under another identity,
// with so many more written since. All of it is rolled back.
func (db *database) awakeIn(ctx context.Context, identity string, late int) (cpu, took time.Duration) {
	conn := db.connect(ctx)
	defer conn.Close(context.WithoutCancel(ctx))
	must(conn.Exec(ctx, `begin`))
	must(conn.Exec(ctx, `update roomcast.settings set identity = `+identity))
	must(conn.Exec(ctx, fillSQL, 1, late, keptRooms))
	cpu = backendTime(conn, func() {
		start := time.Now()
		must(conn.Exec(ctx, `select roomcast.start_awake('4 seconds')`))
		took = time.Since(start)
	})
	return cpu, took
}

// firstClaimIn is the first claim behind that, once leases of before can be over.
func (db *database) firstClaimIn(ctx context.Context, identity string) time.Duration {
	box := must(outbox.Open(db.relay, 1))
	defer box.Close()
	must(db.pool.Exec(ctx, `update roomcast.settings set identity = `+identity))
	check(box.StartAwake(ctx, 4*time.Second, ""))
	must(db.pool.Exec(ctx, `update roomcast.settings set claims_from = null`))
	return claimOne(ctx, db, box, 1)
}
