package outbox_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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

// A session may have planned a call while nothing was kept, and then reads what one page, one
// user or one step needs, not all that has come since. (From 18 on, what is written in SQL keeps
// its plans, too.)
func TestCallsArePlannedForWhatComes(t *testing.T) {
	c := newChat(t)
	const rooms = 3000
	c.Exec(`set session_replication_role = replica`) // no triggers
	c.Exec(`insert into room_participants (room_id, user_id)
		select gen_random_uuid(), case when i <= 5 then $1::uuid else gen_random_uuid() end from generate_series(1, $2) i`, user1, rooms)
	c.Exec(`insert into roomcast.rooms (room, head_seq, sent_seq) select room_id, 3, 3 from room_participants`)
	c.Exec(`vacuum analyze`)
	mine := one[string](c, `select room_id::text from room_participants where user_id = $1 limit 1`, user1)
	calls := map[string]struct {
		sql  string
		most int // rows read
	}{
		"a page of history":   {`select roomcast.history('` + mine + `', 0, 20, '-infinity')`, 100},
		"an inbox":            {`select roomcast.inbox('` + user1 + `')`, rooms + 500}, // the chat's table has no index by user
		"cleaning":            {`select roomcast.clean(20)`, 2 * rooms},
		"an audit":            {`select roomcast.audit()`, 20 * rooms},
		"a receipt":           {`select roomcast.note_receipt('` + user1 + `', gen_random_uuid(), '` + mine + `', 1, '{"pusher_delays":[],"supabase_delays":[],"saw_both":1,"only_pusher":0,"only_supabase":0,"fetched":0,"pusher_repeats":0,"supabase_repeats":0,"flips":0,"skewed":0}')`, 100},
		"a delivery":          {`select roomcast.note_delivery('` + user1 + `', gen_random_uuid(), 1, '{"delays":[],"pushed":1,"gap":0,"reconnect":0,"polled":0,"supabase":0,"missing":0,"void":0,"window":0,"late_pushed":0,"late_gap":0,"late_reconnect":0,"late_polled":0,"late_supabase":0,"skewed":0}')`, 100},
		"a mark":              {`select roomcast.mark_read('` + mine + `', '` + user1 + `', 2)`, 100},
		"the backlog":         {`select roomcast.backlog()`, 10 * rooms},
		"what was sent":       {`select roomcast.sent_again('` + mine + `', 1, 3)`, 100},
		"users to disconnect": {`select roomcast.claim_revocations(10, '1 second')`, 100},
	}
	do := func(t *testing.T, conn *pgx.Conn, statements ...string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	sessions := map[string]*pgx.Conn{}
	for name, call := range calls {
		sessions[name] = outboxtest.Connect(t, c.URL)
		for range 7 { // the sixth may keep its plan
			do(t, sessions[name], `begin`, call.sql, `rollback`)
		}
	}
	for _, sql := range []string{
		`insert into roomcast.outbox (at, attached, op, room, key_hash, record)
			select now() - interval '30 hours', (select id from roomcast.attached_tables where name = 'message'), 'INSERT', r.room, 7 * i + hashtext(r.room), '{}'
			  from roomcast.rooms r, generate_series(1, 3) i`,
		`insert into roomcast.seq_ranges (room, first_seq, last_seq, ids, at, newest)
			select room, 1, 3, array_agg(id order by id), now() - interval '30 hours', now() from roomcast.outbox group by room`,
		`insert into roomcast.cursor (next_xid, open_xids) select pg_snapshot_xmax(pg_current_snapshot()), '{}'`,
		`insert into roomcast.reads (user_id, room, epoch, seq)
			select case when i = 0 then $1::uuid else gen_random_uuid() end, r.room, r.epoch, 1 from roomcast.rooms r, generate_series(0, 1) i`,
		`insert into roomcast.old_messages (room, seq, attached, key_hash, at) select room, -1, attached, -key_hash, at from roomcast.outbox on conflict do nothing`,
		`insert into roomcast.receipts (user_id, page, room, n, hour) select gen_random_uuid(), gen_random_uuid(), room, 1, now() from roomcast.rooms`,
		`insert into roomcast.parity_users (user_id, hour) select gen_random_uuid(), date_trunc('hour', now(), 'UTC') from roomcast.rooms`,
		`insert into roomcast.delivery_pages (user_id, page, n, hour, messages) select gen_random_uuid(), gen_random_uuid(), 1, now(), 1 from roomcast.rooms`,
		`insert into roomcast.rooms (room, head_seq, sent_seq) select 'waits ' || room, 3, 2 from roomcast.rooms`,
		`insert into roomcast.seq_ranges (room, first_seq, last_seq, ids, at, newest) select 'waits ' || room, 1, 3, ids, now(), newest from roomcast.seq_ranges`,
		`insert into roomcast.revocations (user_id, confirmable_at, due) select room, now(), now() - interval '1 minute' from roomcast.rooms`,
	} {
		if strings.Contains(sql, "$1") {
			c.Exec(sql, user1)
		} else {
			c.Exec(sql)
		}
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			read := func() (n int) {
				t.Helper()
				err := sessions[name].QueryRow(t.Context(), `select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int from pg_stat_xact_user_tables`).Scan(&n)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			do(t, sessions[name], `begin`, `set local statement_timeout = '30s'`)
			before := read()
			do(t, sessions[name], call.sql)
			if n := read() - before; n > call.most {
				t.Errorf("reads %d rows, and needs no more than %d", n, call.most)
			}
		})
	}
}
