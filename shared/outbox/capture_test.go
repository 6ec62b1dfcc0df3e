package outbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
)

// A column of the list that was renamed goes on under its new name; one that is no longer
// there is missing from the event.
func TestInsertOutlivesItsColumns(t *testing.T) {
	c := newChat(t)
	c.Exec(`alter table messages rename column content to body`)
	c.Exec(`insert into messages (room_id, body) values ($1, 'renamed')`, roomA)
	c.Exec(`alter table messages drop column user_id`)
	c.Exec(`insert into messages (room_id, body) values ($1, 'dropped')`, roomA)
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT body,created_at,id,room_id,user_id", "2 INSERT body,created_at,id,room_id")
}

// A table may have more columns than a function takes arguments, and names that need
// quoting, in both orders of identity.
func TestWideTablesAndOddNames(t *testing.T) {
	c := newChat(t)
	var columns, names []string
	for i := range 130 {
		columns = append(columns, fmt.Sprintf(`"c %d'%%s" int default %d`, i, i))
		names = append(names, fmt.Sprintf(`"c %d'%%s"`, i))
	}
	c.Exec(`create table "Wide 'one'" ("the room" text, "n'o" int, ` + strings.Join(columns, ", ") + `, primary key ("the room", "n'o"))`)
	c.Exec(`select roomcast.attach_messages('public."Wide ''one''"', room_column => 'the room', columns => $1)`,
		`{"the room","n'o",`+strings.Join(names, ",")+`}`)
	c.Exec(`insert into "Wide 'one'" values ('r', 7)`)
	rows := c.Claim("r")["r"].Rows
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	record := string(rows[0].Change.Record)
	for _, part := range []string{`"the room":"r"`, `"n'o":7`, `"c 0'%s":0`, `"c 129'%s":129`} {
		if !strings.Contains(record, part) {
			t.Errorf("%s is missing from %s", part, record)
		}
	}
	// A deletion finds the row by the same hash.
	c.Exec(`delete from "Wide 'one'"`)
	if n := one[int](c, `select count(*) from roomcast.outbox where op = 'INSERT'`); n != 0 {
		t.Error("the deleted message kept its text")
	}
}

// One wake-up is enough for all who write within a second, unless a lease has answered it:
// a later writer then requests another.
func TestOneWakeupForASecond(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	c.Exec(insertMessage, roomA, user1, "wakes")
	if n := c.Wakeups(); n != 1 {
		t.Fatalf("%d wake-ups, want 1", n)
	}
	c.Exec(`truncate net.http_request_queue`) // it was sent
	c.Exec(insertMessage, roomA, user1, "relies on it")
	if n := c.Wakeups(); n != 0 {
		t.Errorf("a second wake-up right behind the first")
	}
	c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', now() - interval '1.1 seconds')`)
	c.Exec(insertMessage, roomA, user1, "does not wait longer")
	if n := c.Wakeups(); n != 1 {
		t.Errorf("%d wake-ups a second later, want 1", n)
	}
	c.Exec(`truncate net.http_request_queue`)
	for _, lease := range []time.Duration{time.Minute, 0} { // a relay that stays, one that leaves with its answer
		if err := c.DB.StayAwake(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
		c.Exec(`select roomcast.leave_awake()`)
		c.Exec(insertMessage, roomA, user1, "the relay came and went")
		if n := c.Wakeups(); n != 1 {
			t.Errorf("after a lease of %s: %d wake-ups, want 1", lease, n)
		}
		c.Exec(`truncate net.http_request_queue`)
	}
}

// Of writers that wrote before any wake-up was requested, the first to commit requests one, and
// the others while that is on its way: no longer than who begins to write.
func TestOneWakeupOfManyWriters(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	var writers []pgx.Tx
	for range 3 {
		tx, err := outboxtest.Connect(t, c.URL).Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "at once"); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, tx)
	}
	for i, want := range []int{1, 0, 1} {
		if i == 2 {
			c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', now() - interval '1.1 seconds')`)
		}
		if err := writers[i].Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := c.Wakeups(); n != want {
			t.Errorf("writer %d: %d wake-ups, want %d", i, n, want)
		}
		c.Exec(`truncate net.http_request_queue`) // it was sent
	}
}

// A wake-up that is seen on its way counts like one just requested, however old it is.
func TestWakeupOnItsWay(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	c.Exec(insertMessage, roomA, user1, "wakes")
	c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', 'epoch')`)
	c.Exec(insertMessage, roomA, user1, "looks into the queue")
	c.Exec(`truncate net.http_request_queue`)
	c.Exec(insertMessage, roomA, user1, "relies on what that one saw")
	if n := c.Wakeups(); n != 0 {
		t.Errorf("%d wake-ups", n)
	}
}

// A writer that sees an older state of the database cannot note its wake-up, and requests it all
// the same.
func TestWakeupOfARepeatableRead(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	tx, err := c.Conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := outboxtest.Connect(t, c.URL)
	for _, sql := range []string{`set transaction isolation level repeatable read`, `select 1 from messages`} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := other.Exec(t.Context(), `select roomcast.set_clock('roomcast.wakeup_requested', now() - interval '1 hour')`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "from the past"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.Wakeups(); n != 1 {
		t.Errorf("%d wake-ups, want 1", n)
	}
}

// A statement that moves keys from row to row, as in a list whose positions are part of the
// key: each key that still has a row was changed, and only the one left behind is gone.
func TestKeysThatMoveUp(t *testing.T) {
	c := bare(t, `
		create table items (list text, position int, body text, primary key (list, position) deferrable initially deferred);
		select roomcast.attach('items', name => 'item', room => 'list')`)
	c.Exec(`insert into items select 'l', i, 'text ' || i from generate_series(1, 3) i`)
	c.events()
	event := func(op string, position int, body string) string {
		if op == "DELETE" {
			return fmt.Sprintf(`item DELETE l {"list":"l","position":%d}`, position)
		}
		return fmt.Sprintf(`item %s l {"list":"l","position":%d,"body":"%s"}`, op, position, body)
	}
	c.Exec(`update items set position = position + 1`)
	c.wantEvents(event("DELETE", 1, ""), event("UPDATE", 2, "text 1"), event("UPDATE", 3, "text 2"), event("INSERT", 4, "text 3"))
	c.Exec(`update items set position = position - 1`)
	c.wantEvents(event("INSERT", 1, "text 1"), event("UPDATE", 2, "text 2"), event("DELETE", 4, ""), event("UPDATE", 3, "text 3"))
	c.Exec(`update items set position = 5 - position where position in (2, 3)`) // two change places
	c.wantEvents(event("UPDATE", 3, "text 2"), event("UPDATE", 2, "text 3"))
	c.Exec(`update items set list = 'm'`) // to another room
	if got := c.events(); len(got) != 6 {
		t.Errorf("moved:\n%s", lines(got))
	}
	c.wantUnroutable()
}
