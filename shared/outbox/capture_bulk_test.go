package outbox_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
)

// Deleting a room with all that is in it gives a handful of events and cuts nobody off:
// the room is no more. Its texts are scrubbed in steps (D7).
func TestDeletingARoomByCascade(t *testing.T) {
	c := bare(t, `
		create table rooms (id uuid primary key);
		create table notes (id serial primary key, room uuid references rooms on delete cascade, body text);
		create table people (room uuid references rooms on delete cascade, who uuid, primary key (room, who));
		select roomcast.attach('notes', name => 'note', room => 'room');
		select roomcast.attach_members('people', room_column => 'room', user_column => 'who');
		insert into rooms values ('`+roomA+`'), ('`+roomB+`');
		insert into people values ('`+roomA+`', '`+user1+`'), ('`+roomA+`', '`+user2+`'), ('`+roomB+`', '`+user1+`');
		insert into notes (room, body) values ('`+roomA+`', 'kept text');
		insert into notes (room, body) select '`+roomA+`', 'x' from generate_series(1, 3000)`)
	c.Exec(`delete from rooms where id = '` + roomA + `'`)
	if n := one[int](c, `select count(*) from roomcast.outbox where op = 'BULK' and record = '{"name":"note","op":"DELETE","count":3001}'`); n != 1 {
		t.Errorf("%d bulk events", n)
	}
	if n := one[int](c, `select count(*) from roomcast.outbox where op <> 'INSERT'`); n > 8 {
		t.Errorf("%d events", n)
	}
	if n := one[int](c, `select count(*) from roomcast.departures`); n != 0 {
		t.Errorf("%d members are cut off", n)
	}
	for one[int](c, `select roomcast.scrub_queued(1000)`) > 0 || one[bool](c, `select exists (select from roomcast.scrub_queue)`) {
	}
	if n := one[int](c, `select count(*) from roomcast.outbox where record like '%kept text%'`); n != 0 {
		t.Error("the deleted text is still kept")
	}
	if n := one[int](c, `select count(*) from roomcast.outbox where op = 'DELETE' and record = '{"id": 1, "room": "`+roomA+`"}'`); n != 1 {
		t.Error("the scrubbed row does not say which it was")
	}
	// One who is removed while the room stays is cut off.
	c.Exec(`delete from people`)
	if n := one[int](c, `select count(*) from roomcast.departures where user_id = '`+user1+`'`); n != 1 {
		t.Errorf("%d departures", n)
	}
}

// Many members at once: each is told in person, and cut off.
func TestManyMembersAtOnce(t *testing.T) {
	c := bare(t, `
		create table people (room text, who uuid default gen_random_uuid(), guest boolean, primary key (room, who));
		select roomcast.attach_members('people', room_column => 'room', user_column => 'who')`)
	c.Exec(`insert into people select 'r', gen_random_uuid(), i > 1 from generate_series(1, 301) i`)
	count := func(op, where string) int {
		return one[int](c, `select count(*) from roomcast.outbox where op = '`+op+`' and `+where)
	}
	if bulk, personal := count("BULK", "room = 'r'"), count("INSERT", "room like '@%'"); bulk != 1 || personal != 301 {
		t.Errorf("%d bulk events, %d personal", bulk, personal)
	}
	c.Exec(`delete from people where guest`)
	if n := one[int](c, `select count(*) from roomcast.departures`); n != 300 || count("DELETE", "room like '@%'") != 300 {
		t.Errorf("%d departures", n)
	}
	// All at once, from a room of which no table says that it is gone: others may follow, as
	// where a list is replaced by another one, and write what the former members must not hear.
	c.Exec(`delete from roomcast.departures; insert into people select 's' from generate_series(1, 300)`)
	c.Exec(`delete from people where room = 's'`)
	if n := one[int](c, `select count(*) from roomcast.departures`); n != 300 {
		t.Errorf("%d departures from an empty room", n)
	}
}

// Rooms are bulk each by itself; others in the same statement are told row by row.
func TestBulkIsByRoom(t *testing.T) {
	c := bare(t, `
		create table notes (id serial primary key, room text, body text, unlisted int);
		select roomcast.attach('notes', name => 'note', room => 'room', columns => '{id,room,body}');
		update roomcast.settings set bulk = 10`)
	c.Exec(`insert into notes (room) select case when i <= 11 then 'full' else 'few ' || i % 2 end from generate_series(1, 31) i`)
	if got := c.events(); len(got) != 21 || got[20] != `note BULK full {"name":"note","op":"INSERT","count":11}` {
		t.Errorf("captured:\n%s", lines(got))
	}
	c.Exec(`update notes set unlisted = 1`)
	c.wantEvents()
	c.Exec(`update notes set body = 'x', room = 'full' where room = 'few 1'`)
	if got := c.events(); len(got) != 20 {
		t.Errorf("captured:\n%s", lines(got))
	}
	c.Exec(`update notes set body = 'y' where room = 'full'`)
	c.wantEvents(`note BULK full {"name":"note","op":"UPDATE","count":21}`)
	// One bad row does not undo the others, nor the count.
	c.Exec(`alter table notes alter column id type text`)
	c.Exec(`insert into notes (id, room) select nullif('n' || i, 'n5'), 'full' from generate_series(11, 30) i`)
	c.wantEvents(`note BULK full {"name":"note","op":"INSERT","count":20}`)
}

// A statement of many rows of which one cannot be converted: all others are told, in order.
func TestOneBadRowAmongMany(t *testing.T) {
	c := bare(t, `
		create table notes (id int primary key, d int);
		create table three (id int primary key, d int);
		select roomcast.attach('notes', name => 'note', room => '''r'' || r.id % 20 || left((100 / r.d)::text, 0)', columns => '{id}')`)
	c.Exec(`insert into notes select i, case i when 1500 then 0 else 1 end from generate_series(1, 3000) i`)
	ids := one[[]int](c, `select array_agg((record::json ->> 'id')::int order by id) from roomcast.outbox`)
	if len(ids) != 2999 || ids[1498] != 1499 || ids[1499] != 1501 || ids[2998] != 3000 {
		t.Errorf("captured %d rows", len(ids))
	}
	c.wantUnroutable(`INSERT 1 division by zero`)
}

// A truncated table tells each room once, cuts its members off, and loses its texts.
func TestTruncate(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "gone")
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomB, user2)
	c.Exec(`truncate messages, room_participants`)
	if n := one[int](c, `select count(*) from roomcast.outbox where op = 'BULK' and record like '%TRUNCATE%'`); n != 2 {
		t.Errorf("%d bulk events", n)
	}
	if n := one[int](c, `select count(*) from roomcast.departures where user_id = '`+user2+`'`); n != 1 {
		t.Errorf("%d departures", n)
	}
	c.Exec(`select roomcast.scrub_queued(100)`)
	if n := one[int](c, `select count(*) from roomcast.outbox where record like '%gone%'`); n != 0 {
		t.Error("the text is still there")
	}
}

// Nothing that capture reads makes serializable transactions fail that would not fail
// without it: not even deletions, whose texts are then scrubbed later (D27).
func TestSerializableWritersDoNotCollide(t *testing.T) {
	c := newChat(t)
	c.Exec(`alter table messages add n int`)
	c.Exec(`create index on messages (n)`)
	c.Exec(`update roomcast.settings set bulk = 10000`)
	c.Exec(`insert into messages (room_id, content, n) select $1, 'text ' || i, i from generate_series(1, 5000) i`, roomA)
	c.Exec(`analyze messages`)
	txs := make([]pgx.Tx, 4)
	for i := range txs {
		tx, err := outboxtest.Connect(t, c.URL).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.Serializable})
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(t.Context())
		txs[i] = tx
	}
	for i, tx := range txs { // far apart in the chat's table, side by side in ours
		for _, sql := range []string{`set local enable_seqscan = off`, fmt.Sprintf(`delete from messages where n = %d`, 1000*(i+1)), `insert into messages (room_id, n) values ('` + roomB + `', 1000000)`} {
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tx := range txs {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := one[int](c, `select roomcast.scrub_queued(100)::int + roomcast.scrub_queued(100)::int + roomcast.scrub_queued(100)::int + roomcast.scrub_queued(100)::int`); n != 4 {
		t.Errorf("%d texts scrubbed", n)
	}
}
