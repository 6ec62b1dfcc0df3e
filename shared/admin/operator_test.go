package admin_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"roomcast/shared/admin"
	"roomcast/shared/outbox"
)

func (c *chat) operator() admin.Operator {
	c.Helper()
	o, err := admin.OpenOperator(c.URL)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(o.Close)
	return o
}

func (c *chat) wantBacklog(what string, want admin.Backlog) {
	c.Helper()
	got, err := admin.Operator{DB: c.DB}.Backlog(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	got.Oldest = got.Oldest.Truncate(time.Minute) // rows are aged by the hour here
	if got != want {
		c.Errorf("%s: backlog is %+v, want %+v", what, got, want)
	}
}

func TestBacklog(t *testing.T) {
	c := newChat(t)
	c.wantBacklog("nothing written", admin.Backlog{})
	c.Exec(insertMessage, roomA, user1, "one")
	c.Exec(insertMessage, roomA, user1, "two")
	c.Exec(insertMessage, roomB, user1, "three")
	c.Exec(`update roomcast.outbox set at = at - interval '2 hours' where record::json ->> 'content' = 'two'`)
	c.wantBacklog("written", admin.Backlog{Waiting: 3, Unnumbered: 3, Oldest: 2 * time.Hour})
	rooms := c.Claim("r")
	// The head of room A was written after its second row here; the head counts.
	c.wantBacklog("claimed", admin.Backlog{Waiting: 3, Rooms: 2, InFlight: 3, Leased: 2})
	if _, err := c.DB.Ack(t.Context(), []outbox.Ack{{Room: roomA, Fence: rooms[roomA].Fence, Seq: 1, Wait: time.Hour}}); err != nil {
		t.Fatal(err)
	}
	c.wantBacklog("one sent, room A put off", admin.Backlog{Waiting: 2, Oldest: 2 * time.Hour, Rooms: 2, InFlight: 1, Leased: 1})
	status, err := c.operator().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.Holders["r"] != 1 || status.Resting != 1 || status.NextTry < 50*time.Minute ||
		status.PerMinute != 3 || status.Passed != 1 || status.Awake > 0 || status.Bytes == 0 {
		t.Errorf("status is %+v", status)
	}
}

func TestSkip(t *testing.T) {
	c := newChat(t)
	o := c.operator()
	if err := o.Skip(t.Context(), roomA, 1, "why"); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("skip in a room without rows: %v", err)
	}
	for _, text := range []string{"stuck", "behind it"} {
		c.Exec(insertMessage, roomA, user1, text)
	}
	held := c.Claim("old")[roomA]
	if err := o.Skip(t.Context(), roomA, 2, "why"); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("skip of what is not the head: %v", err)
	}
	if err := o.Skip(t.Context(), roomA, 1, "it hangs"); err != nil {
		t.Fatal(err)
	}
	// The relay that was trying it is told so.
	if refused, err := c.DB.Ack(t.Context(), []outbox.Ack{{Room: roomA, Fence: held.Fence, Seq: 2}}); err != nil || !slices.Contains(refused, roomA) {
		t.Errorf("the late ack was not refused: %v, %v", refused, err)
	}
	c.WantClaim(c.Claim("new")[roomA], "2 INSERT behind it")
	parked, err := o.ParkedEvents(t.Context(), "", 10)
	if err != nil || len(parked) != 1 || parked[0].Seq != 1 || parked[0].Reason != "skipped by hand: it hangs" {
		t.Errorf("parked: %+v, %v", parked, err)
	}
	if n := one[int](c, `select count(*) from net.http_request_queue`); n != 0 {
		t.Errorf("%d wake-ups without a URL", n)
	}
}

// A skip while the relay sleeps requests a wake-up for what waited behind.
func TestSkipWakes(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "stuck")
	c.Exec(insertMessage, roomA, user1, "behind it")
	c.Claim("r")
	c.Exec(`select roomcast.configure(url => 'http://127.0.0.1:1/webhooks/supabase', secret => 'long-enough-for-a-webhook-secret-0')`)
	if err := c.operator().Skip(t.Context(), roomA, 1, "why"); err != nil {
		t.Fatal(err)
	}
	if n := one[int](c, `select count(*) from net.http_request_queue`); n != 1 {
		t.Errorf("%d wake-ups, want 1", n)
	}
}

func TestSentAgain(t *testing.T) {
	c := newChat(t)
	o := c.operator()
	for _, text := range []string{"one", "two", "three"} {
		c.Exec(insertMessage, roomA, user1, text)
	}
	held := c.Claim("r")[roomA]
	if ok, err := c.DB.Park(t.Context(), roomA, held.Fence, 2, "refused"); err != nil || !ok {
		t.Fatalf("park: %v, %v", ok, err)
	}
	if _, err := c.DB.Ack(t.Context(), []outbox.Ack{{Room: roomA, Fence: held.Fence, Seq: 2}}); err != nil {
		t.Fatal(err)
	}
	sent, err := o.SentAgain(t.Context(), roomA, 1, 100)
	if err != nil || len(sent) != 2 {
		t.Fatalf("sent again: %+v, %v", sent, err)
	}
	for i, s := range sent {
		if first := held.Rows[i].Change; *s.Change.Position != *first.Position || string(s.Change.Record) != string(first.Record) {
			t.Errorf("a repeat of %+v would be %+v", first, s.Change)
		}
	}
	if sent[0].Parked != "" || sent[1].Parked != "refused" {
		t.Errorf("parked: %q, %q", sent[0].Parked, sent[1].Parked)
	}
	if err := o.Unpark(t.Context(), roomA, []int64{2}); err != nil {
		t.Fatal(err)
	}
	if n := one[int](c, `select count(*) from roomcast.parked`); n != 0 {
		t.Errorf("%d still parked", n)
	}
	if at := one[int64](c, `select sent_seq from roomcast.rooms`); at != 2 {
		t.Errorf("sent_seq is %d: sending again must not move it", at)
	}
}

func TestLives(t *testing.T) {
	c := newChat(t)
	o := c.operator()
	id := one[string](c, insertMessage+` returning id::text`, roomA, user1, "a secret plan")
	c.Claim("r")
	c.Exec(`update messages set content = 'another' where id = $1`, id)
	lives, err := o.LivesOf(t.Context(), id)
	if err != nil || len(lives) != 2 {
		t.Fatalf("lives: %+v, %v", lives, err)
	}
	first, second := lives[0], lives[1]
	var keys map[string]string
	if err := json.Unmarshal([]byte(first.Keys), &keys); err != nil || keys["id"] != id || keys["content"] != "" {
		t.Errorf("keys are %s", first.Keys)
	}
	if first.Room != roomA || first.Seq != 1 || first.Op != "INSERT" || first.Table != "messages" || first.Bytes == 0 ||
		first.Written.IsZero() || first.Numbered.IsZero() || first.KeptFor < 23*time.Hour {
		t.Errorf("the first change: %+v", first)
	}
	if second.Seq != 0 || !second.Numbered.IsZero() || second.Op != "UPDATE" {
		t.Errorf("the second change, not numbered yet: %+v", second)
	}
	c.Claim("r")
	if bySeq, err := o.Lives(t.Context(), roomA, 2, 9); err != nil || len(bySeq) != 1 || bySeq[0].OutboxID != second.OutboxID {
		t.Errorf("by seq: %+v, %v", bySeq, err)
	}
	if rows, err := o.Rows(t.Context(), id); err != nil || !rows["messages"] {
		t.Errorf("rows: %v, %v", rows, err)
	}
	if lives, err := o.LivesOf(t.Context(), "nobody"); err != nil || len(lives) != 0 {
		t.Errorf("lives of nothing: %v, %v", lives, err)
	}
}

// Keys that are numbers, or of several columns, are found, too.
func TestLivesOfOtherKeys(t *testing.T) {
	c := newChat(t)
	c.Exec(`create table notes (id bigint primary key, room_id text, text text);
		select roomcast.attach_messages('notes');
		insert into notes values (9007199254740993, 'r', 'x')`)
	c.Exec(`create table pairs (a int, b text, room_id text, primary key (a, b));
		select roomcast.attach_messages('pairs');
		insert into pairs values (1, 'two', 'r')`)
	for _, id := range []string{"9007199254740993", `{"b":"two", "a": 1}`} {
		if lives, err := c.operator().LivesOf(t.Context(), id); err != nil || len(lives) != 1 {
			t.Errorf("%s: %+v, %v", id, lives, err)
		}
	}
}

func TestRoomState(t *testing.T) {
	c := newChat(t)
	o := c.operator()
	if _, err := o.Room(t.Context(), roomA); !errors.Is(err, admin.ErrUnknown) {
		t.Errorf("a room nobody wrote in: %v", err)
	}
	c.Exec(insertMessage, roomA, user1, "one")
	c.Claim("r")
	c.Exec(insertMessage, roomA, user1, "two")
	s, err := o.Room(t.Context(), roomA)
	if err != nil {
		t.Fatal(err)
	}
	if s.Head != 1 || s.Sent != 0 || s.Holder != "r" || s.Due < 50*time.Second || s.Unnumbered != 1 || s.First != 1 || s.Fence != 1 {
		t.Errorf("room is %+v", s)
	}
}

func TestCompare(t *testing.T) {
	c := newChat(t)
	drift := func() admin.Drift {
		t.Helper()
		d, err := admin.Compare(t.Context(), c.Conn)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := drift(); !d.None() {
		t.Errorf("just migrated, and yet: %+v", d)
	}
	c.Exec(`create or replace function roomcast.has_waiting() returns boolean language sql as $$ select true $$;
		delete from roomcast.migrations where version = 1;
		insert into roomcast.migrations values (999)`)
	d := drift()
	if !slices.Equal(d.Missing, []string{"001_schema.sql", "001_schema_access.sql"}) || !slices.Equal(d.Newer, []int{999}) || !slices.Equal(d.Stale, []string{"has_waiting"}) {
		t.Errorf("drift is %+v", d)
	}
	c.Exec(`drop schema roomcast cascade`)
	if d := drift(); len(d.Missing) == 0 || len(d.Stale) < 20 {
		t.Errorf("without the schema: %d files, %d functions missing", len(d.Missing), len(d.Stale))
	}
}

// The operator's functions are not the relay's.
func TestRelayMayNotOperate(t *testing.T) {
	c := newChat(t)
	for fn, may := range map[string]bool{
		"backlog()": true, "skip(text,bigint,text)": false, "sent_again(text,bigint,bigint)": false, "at_seq(text,bigint)": false,
	} {
		if got := one[bool](c, `select has_function_privilege('roomcast_relay', 'roomcast.'||$1, 'execute')`, fn); got != may {
			t.Errorf("roomcast_relay may execute %s: %v, want %v", fn, got, may)
		}
	}
}

// Debian's pg_cron 1.4.2 calls itself 1.4-1; a stand-in has no version.
func TestSweepSchedule(t *testing.T) {
	c := newChat(t)
	for version, want := range map[string]string{
		"1.3": "* * * * *", "1.4-1": "* * * * *", "1.5": "10 seconds", "1.6": "10 seconds", "1.10": "10 seconds", "2": "10 seconds", "": "10 seconds",
	} {
		if got := one[string](c, `select roomcast.sweep_schedule(nullif($1, ''))`, version); got != want {
			t.Errorf("pg_cron %s: %q, want %q", version, got, want)
		}
	}
}

// Asleep and nothing waiting, a sweep requests no wake-up and writes nothing.
func TestSweepAtRest(t *testing.T) {
	c := newChat(t)
	c.Exec(`select roomcast.configure(url => 'http://127.0.0.1:1/webhooks/supabase', secret => 'long-enough-for-a-webhook-secret-0')`)
	c.Exec(insertMessage, roomA, user1, "sent")
	c.AckAll(c.Claim("r"))
	c.Exec(`truncate net.http_request_queue`) // the wake-up of the insert
	c.Exec(`select roomcast.set_clock('roomcast.last_claim', now() - interval '1 hour')`)
	var woke, wrote bool
	if err := c.Conn.QueryRow(t.Context(), `select roomcast.sweep(), pg_current_xact_id_if_assigned() is not null`).Scan(&woke, &wrote); err != nil {
		t.Fatal(err)
	}
	if n := one[int](c, `select count(*) from net.http_request_queue`); woke || wrote || n != 0 {
		t.Errorf("at rest the sweep requested a wake-up: %v, wrote: %v, queued %d", woke, wrote, n)
	}
	c.Exec(`update roomcast.rooms set sent_seq = 0, attention = now()`) // as if it had never been accepted
	if !one[bool](c, `select roomcast.sweep()`) {
		t.Error("the sweep requested no wake-up for what waits")
	}
}
