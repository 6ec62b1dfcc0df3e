package outbox_test

import (
	"testing"

	"roomcast/shared/outbox/outboxtest"
)

// A large transaction is numbered in steps that read what they number, though the table's
// statistics are of a time when none of its rows was to be seen.
func TestStaleStatisticsCostNoStep(t *testing.T) {
	c := newChat(t)
	c.Exec(`update roomcast.settings set bulk = 1000000`)
	slow := outboxtest.Connect(t, c.URL)
	do := func(sql string, args ...any) {
		t.Helper()
		if _, err := slow.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	do(`begin`)
	do(`insert into messages (room_id, user_id, content) select $1, $2, repeat('x', 100) || i from generate_series(1, 20000) i`, roomA, user1)
	for range 5 {
		c.Exec(insertMessage, roomB, user1, "meanwhile")
		c.Exec(`select roomcast.assign_seqs()`)
	}
	c.Exec(`analyze roomcast.outbox`)
	do(`commit`)
	c.Exec(`select roomcast.assign_seqs(most => 100)`)
	c.Exec(`begin`)
	c.Exec(`select roomcast.assign_seqs(most => 100)`)
	if n := one[int](c, `select (seq_tup_read + idx_tup_fetch)::int from pg_stat_xact_user_tables where relid = 'roomcast.outbox'::regclass`); n == 0 || n > 1000 {
		t.Errorf("a step that numbers 100 rows reads %d", n)
	}
	c.Exec(`commit`)
}

// Rooms whose lease has ended, and a dead relay's, are found by one look at all rooms, though
// the session planned that when there were none.
func TestRoomsAreLookedThroughOnce(t *testing.T) {
	const rooms = 3000
	for name, call := range map[string]string{
		"expired": `select roomcast.find_expired()`, "a dead relay's": `select roomcast.release_leases('dead')`,
	} {
		t.Run(name, func(t *testing.T) {
			c := newChat(t)
			c.Exec(`vacuum analyze roomcast.rooms`) // which is empty
			c.Exec(`select roomcast.set_clock('roomcast.last_claim', clock_timestamp())`)
			look := func() {
				c.Exec(`select roomcast.set_clock('roomcast.expired_checked', clock_timestamp() - interval '1 hour')`)
				c.Exec(call)
			}
			look()
			c.Exec(`insert into roomcast.rooms (room, head_seq, due, holder)
				select 'room ' || i, 1, now() + i * interval '1 minute', 'r@living' from generate_series(-1, $1 - 2) i`, rooms)
			c.Exec(`update roomcast.rooms set holder = 'r@dead' where room in ('room -1', 'room 0')`)
			c.Exec(`begin`)
			look()
			if n := one[int](c, `select (seq_tup_read + idx_tup_fetch)::int from pg_stat_xact_user_tables where relid = 'roomcast.rooms'::regclass`); n < rooms || n > 4*rooms {
				t.Errorf("reads %d rooms of %d", n, rooms)
			}
			if n := one[int](c, `select count(*)::int from roomcast.rooms where attention is not null`); n != 2 {
				t.Errorf("%d rooms want attention, and two do", n)
			}
			c.Exec(`commit`)
		})
	}
}
