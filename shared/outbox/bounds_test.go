package outbox_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// drain claims and acks until nothing is left, and returns the rows of each room in the
// order in which they came, and the most bytes that one claim held.
func (c *chat) drain(limits outbox.Limits) (rows map[string][]outbox.Row, most int) {
	c.Helper()
	rows = map[string][]outbox.Row{}
	for {
		rooms, err := c.DB.Claim(c.Context(), "r", limits)
		if err != nil {
			c.Fatal(err)
		}
		if len(rooms) == 0 && !one[bool](c, `select roomcast.has_unnumbered()`) {
			return rows, most
		}
		var acks []outbox.Ack
		bytes := 0
		for _, room := range rooms {
			for _, row := range room.Rows {
				bytes += len(row.Change.Record)
			}
			rows[room.ID] = append(rows[room.ID], room.Rows...)
			acks = append(acks, outbox.Ack{Room: room.ID, Fence: room.Fence, Seq: room.Rows[len(room.Rows)-1].Seq})
		}
		most = max(most, bytes)
		if _, err := c.DB.Ack(c.Context(), acks); err != nil {
			c.Fatal(err)
		}
	}
}

var wide = outbox.Limits{Rows: 4000, PerRoom: 250, Lease: time.Minute}

// Many rooms at once are numbered in time that grows with their number, not its square.
func TestManyRoomsAtOnce(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into messages (room_id, content) select gen_random_uuid(), 'x' from generate_series(1, 5000)`)
	start := time.Now()
	if rooms, err := c.DB.Claim(t.Context(), "r", wide); err != nil || len(rooms) < 1000 || time.Since(start) > 20*time.Second {
		t.Fatalf("%d rooms in %s, %v", len(rooms), time.Since(start), err)
	}
	if n := one[int](c, `select count(*) from roomcast.rooms where attention is null and holder is null`); n != 0 {
		t.Errorf("%d rooms were numbered, and nobody will find them", n)
	}
}

// A transaction of more rows than one numbering takes is numbered in steps, in order and
// once; what others write meanwhile is not kept waiting for its end.
func TestLargeTransaction(t *testing.T) {
	c := newChat(t)
	const rows = 25_000
	c.Exec(`update roomcast.settings set bulk = 1000000`)
	c.Exec(`insert into messages (room_id, content) select $1, i::text from generate_series(1, $2::int) i`, roomA, rows)
	c.Claim("r")
	c.Exec(insertMessage, roomB, user1, "meanwhile")
	c.Exec(`update roomcast.rooms set due = now(), attention = now()`)
	first := one[int](c, `select head_seq from roomcast.rooms where room = $1`, roomA)
	if first == 0 || first >= rows {
		t.Errorf("%d rows were numbered in the first step", first)
	}
	if room := c.Claim("r")[roomB]; len(room.Rows) != 1 {
		t.Error("another room's row waits for all of them")
	}
	c.Exec(`update roomcast.rooms set due = now(), attention = now(), holder = null`)
	got, _ := c.drain(wide)
	if len(got[roomA]) != rows || len(got[roomB]) != 1 {
		t.Fatalf("%d and %d rows", len(got[roomA]), len(got[roomB]))
	}
	for i, row := range got[roomA] {
		if row.Seq != int64(i+1) {
			t.Fatalf("row %d has seq %d", i, row.Seq)
		}
	}
	if n := one[int](c, `select count(*) from (select unnest(ids) from roomcast.seq_ranges group by 1 having count(*) > 1) d`); n != 0 {
		t.Errorf("%d rows have two numbers", n)
	}
	n := one[int](c, `select count(*) from (
		select (o.record::json ->> 'content')::int - lag((o.record::json ->> 'content')::int) over (order by g.first_seq, u.i) as step
		  from roomcast.seq_ranges g, unnest(g.ids) with ordinality u (id, i), roomcast.outbox o
		 where o.id = u.id and o.room = $1) s where step <> 1`, roomA)
	if n != 0 {
		t.Errorf("%d rows are out of order", n)
	}
}

// Many large rows come in claims of bounded size, each as its keys alone.
func TestLargeRows(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into messages (room_id, content) select $1, repeat('x', 1000000) from generate_series(1, 30)`, roomA)
	c.Exec(`insert into messages (room_id, content) select $1, repeat(md5(i::text), 280) from generate_series(1, 1000) i`, roomB)
	c.Exec(`update roomcast.settings set bulk = 200`)
	got, most := c.drain(outbox.Limits{Rows: 4000, PerRoom: 4000, Lease: time.Minute})
	if most > 5<<20 {
		t.Errorf("a claim held %d bytes", most)
	}
	if len(got[roomA]) != 30 {
		t.Fatalf("%d rows", len(got[roomA]))
	}
	for _, row := range got[roomA] {
		if !row.Change.Stub || len(row.Change.Record) > 200 || !strings.Contains(string(row.Change.Record), `"id"`) {
			t.Fatalf("a row of a megabyte came as %d bytes, stub %v", len(row.Change.Record), row.Change.Stub)
		}
	}
}

// A room that no index takes stops nobody but itself.
func TestOddRoomStopsNobody(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into roomcast.outbox (attached, op, room, key_hash, record)
		select 1, 'INSERT', string_agg(md5(random()::text), ''), 0, '{}' from generate_series(1, 94)`)
	c.Exec(insertMessage, roomA, user1, "others")
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT others")
	if one[bool](c, `select roomcast.has_unnumbered()`) {
		t.Error("it is tried again and again")
	}
}

// What claim and ack update, and what every poll reads, leaves nothing for a long snapshot
// to pile up: rooms change on their page, the cursor is found at its end.
func TestLongSnapshot(t *testing.T) {
	c := newChat(t)
	reader, err := outboxtest.Connect(t, c.URL).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `select count(*) from roomcast.cursor`); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		c.Exec(insertMessage, roomA, user1, "hello")
		c.AckAll(c.Claim("r"))
	}
	c.Exec(`begin`)
	c.Exec(`select roomcast.has_unnumbered()`)
	const read = `select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'cursor' and schemaname = 'roomcast'`
	if n := one[int](c, read); n > 2 {
		t.Errorf("a poll reads %d versions of the cursor", n)
	}
	c.Exec(`select roomcast.ack(array[$1::text], array[(select fence from roomcast.rooms where room = $1::text)], array[50::bigint], array[0::float8])`, roomA)
	const moved = `select n_tup_upd - n_tup_hot_upd from pg_stat_xact_user_tables where relname = 'rooms' and schemaname = 'roomcast'`
	if one[int](c, moved) != 0 && one[int](c, `select pg_relation_size('roomcast.rooms')::int`) <= 8192 {
		t.Error("an ack's new version of a room is not on its page")
	}
	c.Exec(`rollback`)
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Nor do claim and ack step over all that a long snapshot keeps of the rooms: with hundreds
// of versions of each they read few pages more than before.
func TestRoomsUnderALongSnapshot(t *testing.T) {
	c := newChat(t)
	c.Exec(`create procedure go_round(rounds int) language plpgsql as $$
	declare
	  got record;
	begin
	  for i in 1..rounds loop
	    insert into roomcast.outbox (attached, op, room, key_hash, record) select 1, 'INSERT', 'room-' || n, 0, '{}' from generate_series(1, 20) n;
	    commit;   -- numbering sees what is committed
	    perform roomcast.claim('r', 4000, 250, '1 minute');
	    commit;
	    select array_agg(r.room) as rooms, array_agg(r.fence) as fences, array_agg(r.head_seq) as seqs, array_agg(0::float8) as waits into got from roomcast.rooms r;
	    perform roomcast.ack(got.rooms, got.fences, got.seqs, got.waits);
	    commit;
	  end loop;
	end $$`)
	// The least of several: an update that finds no place on its room's page checks that
	// the key is unique, and that reads all versions.
	pages := func() (least int) {
		for n := range 6 {
			c.Exec(`call go_round(1)`)
			c.Exec(`insert into roomcast.outbox (attached, op, room, key_hash, record) values (1, 'INSERT', 'room-7', 0, '{}')`)
			c.Exec(`select roomcast.set_clock('roomcast.expired_checked', clock_timestamp())`) // which reads all rooms, and seldom
			read := readPages(c, `select roomcast.claim('r', 4000, 250, '1 minute')`)
			fence := one[int](c, `select fence from roomcast.rooms where room = 'room-7'`)
			read += readPages(c, fmt.Sprintf(`select roomcast.ack('{room-7}', '{%d}', '{1000}', '{0}')`, fence))
			if n == 0 || read < least {
				least = read
			}
		}
		return least
	}
	c.Exec(`call go_round(3)`)
	before := pages()
	reader, err := outboxtest.Connect(t, c.URL).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `select`); err != nil {
		t.Fatal(err)
	}
	c.Exec(`call go_round(80)`)
	after := pages()
	t.Logf("%d pages, and %d under the snapshot", before, after)
	if after > 4*before {
		t.Errorf("a claim and its ack read %d pages under a long snapshot, %d before it", after, before)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A poll reads nothing of what a transaction that is still open has written, however much.
func TestPollBesideALargeOpenTransaction(t *testing.T) {
	c := newChat(t)
	open, err := outboxtest.Connect(t, c.URL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const write = `insert into roomcast.outbox (attached, op, room, key_hash, record) select 1, 'INSERT', 'large', 0, '{}' from generate_series(1, 5000) n`
	if _, err := open.Exec(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	c.Exec(insertMessage, roomA, user1, "beside it")
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT beside it") // the cursor knows of the open one now
	if _, err := open.Exec(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	c.Exec(`select roomcast.has_unnumbered()`) // plans
	if n := readPages(c, `select roomcast.has_unnumbered()`); n > 30 {
		t.Errorf("has_unnumbered reads %d pages", n)
	}
	if one[bool](c, `select roomcast.await_rows('5 milliseconds', '1 millisecond')`) {
		t.Error("something is to be claimed")
	}
	if err := open.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !one[bool](c, `select roomcast.has_unnumbered()`) {
		t.Error("what was open is not new")
	}
}

// readPages runs a statement and returns how many pages it read.
func readPages(c *chat, sql string) int {
	c.Helper()
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal([]byte(one[string](c, `explain (analyze, buffers, format json) `+sql)), &plans); err != nil || len(plans) != 1 {
		c.Fatalf("plan: %v", err)
	}
	return plans[0].Plan.Hit + plans[0].Plan.Read
}
