package relay

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
)

// The whole promise under load: each message arrives, per room in seq order
// without gaps, in the order of first arrival, with two relays on one backlog.
func TestTwoRelaysDeliverEverything(t *testing.T) {
	const messages, rooms, writers = 10_000, 50, 8
	s := newStack(t)
	r1, r2 := s.relay("one"), s.relay("two")

	var wg sync.WaitGroup
	var woken atomic.Bool
	for w := range writers {
		wg.Go(func() {
			for i := w; i < messages; i += writers {
				room := fmt.Sprintf("00000000-0000-4000-8000-%012d", i*7%rooms)
				if _, err := s.pool.Exec(t.Context(), `insert into messages (room_id, content) values ($1, $2)`, room, fmt.Sprint("m", i)); err != nil {
					t.Error(err)
					return
				}
				if !woken.Swap(true) { // one webhook for each relay, as two machines would get over time
					r1.Wake()
					r2.Wake()
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	all := s.waitFor(messages)
	wantInOrder(t, all)
	got := map[string]bool{}
	for _, a := range all {
		got[parse(t, a).Content] = true
	}
	for i := range messages {
		if !got[fmt.Sprint("m", i)] {
			t.Fatalf("message %d was lost", i)
		}
	}
	t.Logf("%d events for %d messages", len(all), messages)
}

func TestEventIsTheRowAndItsPosition(t *testing.T) {
	s := newStack(t)
	r := s.relay("r")
	s.insert(roomA, "hi <b> & 👋🏽")
	r.Wake()
	a := s.waitFor(1)[0]
	if a.Channel != "private-room-"+roomA || a.Name != "new-message" {
		t.Errorf("published %s to %s", a.Name, a.Channel)
	}
	record := query[string](s, `select record::text from roomcast.outbox`)
	if !strings.HasPrefix(a.Data, strings.TrimSuffix(record, "}")+`,"roomcast":{"seq":1,`) {
		t.Errorf("data does not begin with the record as Postgres wrote it:\n%s\n%s", record, a.Data)
	}
	d := parse(t, a)
	if d.Roomcast.Epoch != query[string](s, `select epoch from roomcast.rooms`) || d.Roomcast.At.IsZero() {
		t.Errorf("position %+v", d.Roomcast)
	}
}

// A relay that starts checks once: no webhook is needed for what was left behind.
func TestStartingRelayPollsOnce(t *testing.T) {
	s := newStack(t)
	s.insert(roomA, "left behind")
	s.relay("r")
	s.waitFor(1)
}

// Asleep, a commit sends a webhook; awake, none does; a burst from many writers sends one at
// most five times.
func TestBurstSendsFewWakeups(t *testing.T) {
	s := newStack(t)
	r := s.relay("r")
	sender := s.webhooks(r)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 125 {
				if _, err := s.pool.Exec(t.Context(), `insert into messages (room_id, content) values ($1, $2)`, roomA, fmt.Sprint(w, " ", i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantInOrder(t, s.waitFor(1000))
	if n := sender.Requests(); n < 1 || n > 5 {
		t.Errorf("the burst sent %d webhooks, want 1 to 5", n)
	}
}

// Whatever is wrong with the webhook, the user's INSERT succeeds, and the row is
// delivered once anybody looks.
func TestInsertSurvivesABrokenWakeup(t *testing.T) {
	for name, breakIt := range map[string]string{
		"no pg_net":        `drop schema net cascade`,
		"pg_net raises":    `create or replace function net.http_post(url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000) returns bigint language plpgsql as $$ begin raise exception 'worker is down'; end $$`,
		"no queue table":   `drop table net.http_request_queue cascade`,
		"wrong url":        `select roomcast.configure(url => 'http://127.0.0.1:1/nobody/listens')`,
		"no url":           `update roomcast.settings set url = null`,
		"vault is missing": `update roomcast.settings set vault_name = 'gone'`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.exec(`select roomcast.configure(url => 'https://app.fly.dev/webhooks/supabase', secret => $1)`, outboxtest.WebhookSecret)
			s.exec(breakIt)
			s.insert(roomA, "still fine")
			s.relay("r")
			s.waitFor(1)
		})
	}
}

func TestOneWakeupForOneTransaction(t *testing.T) {
	s := newStack(t)
	s.exec(`select roomcast.configure(url => 'https://app.fly.dev/webhooks/supabase', secret => $1)`, outboxtest.WebhookSecret)
	queued := func() int { return query[int](s, `select count(*) from net.http_request_queue`) }
	conn := acquire(s)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`insert into messages (room_id, content) values ('` + roomA + `', 'one'), ('` + roomA + `', 'two')`,
		`insert into messages (room_id, content) values ('` + roomB + `', 'three')`,
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if n := queued(); n != 0 {
		t.Errorf("%d webhooks before the commit", n)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := queued(); n != 1 {
		t.Errorf("%d webhooks after the commit, want 1", n)
	}
	s.insert(roomA, "while one is under way")
	if n := queued(); n != 1 {
		t.Errorf("%d webhooks though one was still queued", n)
	}
	s.exec(`delete from net.http_request_queue`)
	s.exec(`select roomcast.stay_awake('1 minute')`)
	s.insert(roomA, "while the relay is awake")
	if n := queued(); n != 0 {
		t.Errorf("%d webhooks while the relay was awake", n)
	}
}

func TestSweepWakesForWhatWaits(t *testing.T) {
	s := newStack(t)
	s.exec(`select roomcast.configure(url => 'https://app.fly.dev/webhooks/supabase', secret => $1)`, outboxtest.WebhookSecret)
	if query[bool](s, `select roomcast.sweep()`) {
		t.Error("the sweep sent a webhook though nothing waits")
	}
	s.insert(roomA, "its webhook will be lost")
	s.exec(`delete from net.http_request_queue`)
	if !query[bool](s, `select roomcast.sweep()`) {
		t.Error("the sweep sent no webhook for a waiting row")
	}
}

// The loop goes to sleep, and an open transaction that wrote while the relay was
// awake, and so sent no webhook, keeps it from doing so.
func TestRestsOnlyWhenNobodyIsWriting(t *testing.T) {
	s := newStack(t)
	quick := func(c *Config) { c.AwakeLease, c.Linger = 300*time.Millisecond, 1500*time.Millisecond }
	r := s.relay("r", quick)
	s.insert(roomA, "wakes it")
	r.Wake()
	s.waitFor(1)

	conn := acquire(s)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !r.Busy() {
		t.Fatal("asleep before its linger was over")
	}
	if _, err := tx.Exec(t.Context(), `insert into messages (room_id, content) values ($1, 'slow')`, roomA); err != nil {
		t.Fatal(err)
	}
	// Longer than lease and linger: were it not for the lock, it would sleep by now.
	if _, err := conn.Exec(t.Context(), `select pg_sleep(3)`); err != nil {
		t.Fatal(err)
	}
	if !r.Busy() {
		t.Error("asleep while a transaction that sent no webhook was open")
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitFor(2)
	waitAsleep(t, r)
}

// waitAsleep polls the one thing that has no event: the loop's sleep.
func waitAsleep(t *testing.T, r *Relay) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for r.Busy() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the loop does not go to sleep")
		}
	}
}

// Drain hands everything over: what was committed is sent, and writers send webhooks again.
func TestDrain(t *testing.T) {
	s := newStack(t)
	r := s.relay("r")
	s.insert(roomA, "one")
	r.Wake()
	s.waitFor(1)
	s.insert(roomA, "two")
	if err := r.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if query[bool](s, `select roomcast.is_awake()`) {
		t.Error("the awake lease outlives the relay")
	}
	got := contents(t, s.pusher.Events())
	if want := []string{"one", "two"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if n := query[int](s, `select count(*) from roomcast.rooms where sent_seq < head_seq or holder is not null`); n != 0 {
		t.Errorf("%d rooms were not handed back", n)
	}
}

// Where nothing runs between requests, Empty sends all that waits and returns.
func TestEmpty(t *testing.T) {
	s := newStack(t)
	r := s.relay("r")
	if err := r.Drain(t.Context()); err != nil { // the loop is not what this is about
		t.Fatal(err)
	}
	s.exec(`update roomcast.settings set bulk = 100000`) // row by row
	s.exec(`insert into messages (room_id, content) select $1, i::text from generate_series(1, 600) i`, roomA)
	fresh := New(r.Config)
	if err := fresh.Empty(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, s.pusher.Events())
	if n := len(s.pusher.Events()); n != 600 {
		t.Errorf("sent %d events, want 600", n)
	}
	if !query[bool](s, `select u > now() - interval '1 minute' and u < clock_timestamp() from roomcast.read_clock('roomcast.awake_until') u`) {
		t.Error("the webhook was not answered: who writes now would rely on it")
	}
	s.pusher.Inject(pushertest.Fault{Status: 500})
	s.insert(roomA, "not now")
	if err := fresh.Empty(t.Context()); err == nil {
		t.Error("no error though Pusher fails")
	}
}

// Who is in both a room's private and its presence channel hears each event once, and
// Pusher counts it once.
func TestPresenceBesidePrivate(t *testing.T) {
	s := newStack(t)
	for i := range 5 {
		s.insert(roomA, fmt.Sprint(i))
	}
	s.relay("r", func(c *Config) { c.Channels = []event.ChannelKind{event.Private, event.Presence} })
	s.waitUnpacked(5)
	s.until("the room is through", func() bool {
		return query[int](s, `select count(*) from roomcast.rooms where sent_seq < head_seq`) == 0
	})
	if all := s.pusher.Events(); len(all) != 5 || len(of(all, "private-room-"+roomA)) != 5 {
		t.Errorf("5 messages are %d events: %q", len(all), says(all))
	}
}
