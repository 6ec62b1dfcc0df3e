package outbox_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/pgcron"
	"roomcast/shared/outbox/outboxtest/pgnet"
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

// A lock on pg_net's queue holds up the commit of a writer that would wake the relay for a
// moment only.
func TestLockedQueueHoldsNoCommitUp(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	c.locked("net.http_request_queue", func() {
		// Without a bound it would wait for the lock's end, which waits for it.
		c.Exec(`set statement_timeout = '20s'`)
		for range 2 {
			c.Exec(insertMessage, roomA, user1, "while the queue is locked")
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

// pg_net that found its tables locked sleeps with our wake-up queued; the next writer or
// the sweep wakes it.
func TestSleepingPgNetIsWoken(t *testing.T) {
	c := newChat(t)
	got := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got <- struct{}{} }))
	defer server.Close()
	sender, err := pgnet.Start(t.Context(), c.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Stop)
	c.Exec(`select roomcast.configure(url => $1, secret => 'long-enough-for-a-webhook-secret-0')`, server.URL)
	for what, wake := range map[string]func(){
		"the next writer": func() {
			c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', now() - interval '2 seconds')`)
			c.Exec(insertMessage, roomA, user1, "later")
		},
		"the sweep": func() { c.Exec(`select roomcast.sweep()`) },
	} {
		before := sender.Locked()
		c.locked("net._http_response", func() {
			c.Exec(`select roomcast.set_clock('roomcast.wakeup_requested', 'epoch')`)
			c.Exec(insertMessage, roomA, user1, "hello")
			for within := time.Now().Add(20 * time.Second); sender.Locked() == before; {
				if time.Now().After(within) {
					t.Fatal("it did not look")
				}
				time.Sleep(time.Millisecond)
			}
		})
		wake()
		select {
		case <-got:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s did not wake it", what)
		}
		for c.Wakeups() > 0 {
			time.Sleep(time.Millisecond)
		}
		for len(got) > 0 {
			<-got
		}
	}
}

// Installing again beside an open transaction of the chat gives up rather than have the
// chat's other writers queue behind it.
func TestInstallingAgainHoldsNoWriterUp(t *testing.T) {
	c := newChat(t)
	other := outboxtest.Connect(t, c.URL)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "open"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	installed := make(chan error, 1)
	go func() { installed <- admin.Migrate(ctx, c.URL) }()
	for done := false; !done; {
		select {
		case err := <-installed:
			if err != nil {
				t.Errorf("beside an open writer: %v", err)
			}
			done = true
		default:
			start := time.Now()
			c.Exec(insertMessage, roomA, user1, "meanwhile")
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("a writer waited for %s", took)
			}
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// pg_cron keeps a row for each run for ever; those of our jobs go after a day.
func TestJobHistoryIsPruned(t *testing.T) {
	c := newChat(t)
	if err := pgcron.Install(t.Context(), c.URL); err != nil {
		t.Fatal(err)
	}
	c.Exec(`select roomcast.configure(retention => '1 day')`) // schedules the sweep
	c.Exec(`insert into cron.job_run_details (jobid, status, start_time)
		select j.jobid, 'succeeded', now() - interval '1 hour' * i from cron.job j, generate_series(20, 30) i where j.jobname = 'roomcast-sweep'`)
	c.Exec(`insert into cron.job_run_details (jobid, status, start_time) values (0, 'another''s', now() - interval '1 year')`)
	c.Exec(`select roomcast.sweep()`)
	if n := one[int](c, `select count(*) from cron.job_run_details where jobid <> 0`); n < 4 || n > 5 {
		t.Errorf("%d runs are left, want those of a day", n)
	}
	if n := one[int](c, `select count(*) from cron.job_run_details where jobid = 0`); n != 1 {
		t.Error("another job's history was pruned")
	}
}

// A step of the upkeep that fails keeps neither the wake-up nor the others from being done.
func TestUpkeepGoesOn(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	c.Exec(`insert into roomcast.presence values ('r', 'u', false, now() - interval '2 hours')`)
	c.Exec(`create or replace function roomcast.clean(max_ranges int) returns bigint language sql as 'select 1 / 0'`)
	c.Exec(`insert into roomcast.revocations values ($1, now(), now())`, user1)
	if !one[bool](c, `select roomcast.sweep()`) {
		t.Error("no wake-up was requested")
	}
	if n := one[int](c, `select count(*) from roomcast.presence`); n != 0 {
		t.Error("what comes behind the failing step was not done")
	}
}

// Where rows came by logical replication, and their sequences did not, the chat's statements
// fail for ours until the next sweep, and not after it.
func TestNumbersFallenBackAreMovedOn(t *testing.T) {
	c := newChat(t)
	for _, name := range []string{"first", "second"} {
		c.Exec(insertMessage, roomA, user1, name)
		c.Exec(`insert into messages (content) values ($1)`, name)
	}
	c.Exec(`select setval('roomcast.outbox_id_seq', 1, false), setval('roomcast.unroutable_id_seq', 1, false)`)
	c.Exec(`select roomcast.sweep()`)
	c.Exec(insertMessage, roomA, user1, "third")
	c.Exec(`insert into messages (content) values ('third')`)
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT first", "2 INSERT second", "3 INSERT third")
}

// Wake-ups that nobody answers come less often, from the sweep: a copy of the cluster's
// files asks its origin's function, and must not keep it awake. A writer asks at once, and
// a lease ends it.
func TestUnansweredWakeupsComeLessOften(t *testing.T) {
	c := newChat(t)
	c.FallAsleep()
	c.Exec(insertMessage, roomA, user1, "waits")
	sweep := func(unanswered, ago string) int {
		t.Helper()
		c.Exec(`truncate net.http_request_queue`)
		c.Exec(`select roomcast.set_clock('roomcast.awake_until', now() - interval '1 week'),
			roomcast.set_clock('roomcast.unanswered_since', now() - interval '` + unanswered + `'),
			roomcast.set_clock('roomcast.wakeup_requested', now() - interval '` + ago + `')`)
		c.Exec(`select roomcast.sweep()`)
		return c.Wakeups()
	}
	for _, tc := range []struct {
		unanswered, ago string
		want            int
	}{
		{"10 seconds", "10 seconds", 1}, {"1 minute", "10 seconds", 1}, {"10 minutes", "10 seconds", 0}, {"10 minutes", "61 seconds", 1},
		{"1 day", "9 minutes", 0}, {"1 day", "10 minutes", 1}, {"2 weeks", "10 seconds", 1}, // of before the last lease
	} {
		if n := sweep(tc.unanswered, tc.ago); n != tc.want {
			t.Errorf("unanswered for %s, the last %s ago: %d wake-ups, want %d", tc.unanswered, tc.ago, n, tc.want)
		}
	}
	if n := sweep("1 day", "5 minutes"); n != 0 {
		t.Errorf("%d wake-ups", n)
	}
	c.Exec(insertMessage, roomA, user1, "wakes")
	if n := c.Wakeups(); n != 1 {
		t.Errorf("a writer: %d wake-ups", n)
	}
}
