package outbox_test

import (
	"testing"
	"time"

	"roomcast/shared/outbox/outboxtest"
)

// locked runs do while another session holds a table in access exclusive mode, as VACUUM
// FULL and ALTER EXTENSION do.
func (c *chat) locked(table string, do func()) {
	c.Helper()
	other := outboxtest.Connect(c.T, c.URL)
	tx, err := other.Begin(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	if _, err := tx.Exec(c.Context(), `lock table `+table+` in access exclusive mode`); err != nil {
		c.Fatal(err)
	}
	do()
	if err := tx.Rollback(c.Context()); err != nil {
		c.Fatal(err)
	}
}

// A lock on pg_net's queue holds up the commit of who would wake the relay for a moment,
// and nobody who commits within the next second.
func TestLockedQueueHoldsNoCommitUp(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	c.locked("net.http_request_queue", func() {
		for i, most := range []time.Duration{time.Second, 90 * time.Millisecond} {
			start := time.Now()
			c.Exec(insertMessage, roomA, user1, "while the queue is locked")
			if took := time.Since(start); took > most && i == 0 {
				t.Errorf("the commit took %s", took)
			}
		}
	})
	if n := c.Wakeups(); n != 0 {
		t.Errorf("%d wake-ups", n)
	}
	if !one[bool](c, `select roomcast.sweep()`) {
		t.Error("the sweep requested no wake-up for them")
	}
}

// Whatever the transaction that requested a wake-up still does, it keeps neither other
// writers nor the sweep from requesting theirs.
func TestWakeupsShareNoLock(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	other := outboxtest.Connect(t, c.URL)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{`set constraints all immediate`, `insert into messages (room_id, content) values (gen_random_uuid(), 'open')`} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', now() - interval '2 seconds')`)
	c.Exec(insertMessage, roomA, user1, "beside it")
	if n := c.Wakeups(); n != 1 {
		t.Errorf("%d wake-ups of the second writer", n)
	}
	c.Exec(`delete from net.http_request_queue`)
	if !one[bool](c, `select roomcast.sweep()`) {
		t.Error("the sweep requested no wake-up")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A lease or a request that a clock left behind when it stepped back holds for nothing.
func TestClockThatStepsBack(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	for _, clock := range []string{"awake_until", "wakeup_requested"} {
		c.Exec(`select roomcast.set_clock(('roomcast.' || $1)::regclass, now() + interval '10 minutes')`, clock)
		c.Exec(insertMessage, roomA, user1, "ten minutes earlier")
		if n := c.Wakeups(); n != 1 {
			t.Errorf("%s is ahead: %d wake-ups", clock, n)
		}
		c.Exec(`delete from net.http_request_queue`)
		c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', 'epoch')`)
	}
	c.Exec(`select roomcast.set_clock('roomcast.awake_until', now() + interval '10 minutes')`)
	if err := c.DB.StayAwake(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if !one[bool](c, `select roomcast.is_awake()`) {
		t.Error("a relay cannot take its lease back from the future")
	}
}

// A copy of the database, settings and all, wakes nobody until it is configured.
func TestCopiedDatabaseIsSilent(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	c.Exec(`update roomcast.settings set home = '1:1'`) // what it would be in another database
	c.Exec(insertMessage, roomA, user1, "in the copy")
	if n := c.Wakeups(); n != 0 || one[bool](c, `select roomcast.sweep()`) {
		t.Errorf("%d wake-ups of the copy, or its sweep sent one", n)
	}
	c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', 'epoch'), roomcast.configure(retention => '1 day')`)
	c.Exec(insertMessage, roomA, user1, "configured")
	if n := c.Wakeups(); n != 1 {
		t.Errorf("%d wake-ups once it is configured", n)
	}
}

// A prepared transaction that wrote while the lease held keeps the relay polling, unless
// it looks forgotten.
func TestPreparedWriterKeepsTheRelayAwake(t *testing.T) {
	server := outboxtest.Start(t, outboxtest.Options{Settings: map[string]string{"max_prepared_transactions": "5"}})
	url := server.URL("postgres")
	if err := outboxtest.InstallChat(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	c := &chat{&outboxtest.Fixture{T: t, URL: url, Conn: outboxtest.Connect(t, url), DB: outboxtest.Open(t, url)}}
	if err := c.DB.StayAwake(t.Context(), 50*time.Second); err != nil {
		t.Fatal(err)
	}
	c.Exec(`begin`)
	c.Exec(insertMessage, roomA, user1, "prepared")
	c.Exec(`prepare transaction 'p'`)
	c.Exec(`select roomcast.leave_awake()`)
	if one[bool](c, `select roomcast.may_sleep()`) {
		t.Error("the relay may sleep, and nobody will wake it at COMMIT PREPARED")
	}
	c.Exec(`commit prepared 'p'`)
	c.AckAll(c.Claim("r"))
	if !one[bool](c, `select roomcast.may_sleep()`) {
		t.Error("the relay may not sleep though nothing is open")
	}
}
