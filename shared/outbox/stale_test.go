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
