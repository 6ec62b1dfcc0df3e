package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"roomcast/shared/access"
	"roomcast/shared/admin"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

func TestMigrateTwiceIsHarmless(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "before")
	if err := admin.Migrate(t.Context(), c.URL); err != nil {
		t.Fatal(err)
	}
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT before")
}

func TestClaimNumbersInOrderPerRoom(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "a1")
	c.Exec(insertMessage, roomB, user1, "b1")
	c.Exec(insertMessage, roomA, user1, "a2")
	rooms := c.Claim("r")
	c.WantClaim(rooms[roomA], "1 INSERT a1", "2 INSERT a2")
	c.WantClaim(rooms[roomB], "1 INSERT b1")
	if again := c.Claim("other"); len(again) != 0 {
		t.Errorf("rooms under lease were claimed again: %v", again)
	}
	c.AckAll(rooms)
	c.Exec(insertMessage, roomA, user1, "a3")
	c.WantClaim(c.Claim("r")[roomA], "3 INSERT a3")
}

// A transaction that took a low id and commits last is new to the next numbering.
func TestLateCommitIsNumberedAfterwards(t *testing.T) {
	c := newChat(t)
	slow := outboxtest.Connect(t, c.URL)
	tx, err := slow.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "low id, late commit"); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		c.Exec(insertMessage, roomA, user2, fmt.Sprint("quick ", i))
		c.AckAll(c.Claim("r"))
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.WantClaim(c.Claim("r")[roomA], "4 INSERT low id, late commit")
}

func TestRolledBackRowsTakeNoNumber(t *testing.T) {
	c := newChat(t)
	tx, err := c.Conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "never"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Exec(insertMessage, roomA, user1, "first")
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT first")
}

// Writing and numbering in one transaction must neither lose nor double the row.
func TestNumberingInTheWritersOwnTransaction(t *testing.T) {
	c := newChat(t)
	tx, err := c.Conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), insertMessage, roomA, user1, "mine"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := tx.Exec(t.Context(), `select roomcast.assign_seqs()`); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Exec(insertMessage, roomA, user1, "next")
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT mine", "2 INSERT next")
}

// A relay that is started again takes what its dead predecessor held, and nothing else; if
// that one is not so dead, its ack counts until another relay has claimed.
func TestASuccessorReleasesLeases(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "a")
	held := c.Claim("host:1@here")
	c.Exec(insertMessage, roomB, user1, "b")
	c.Claim("host:2@there")
	if err := c.DB.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Fatal(err)
	}
	if rooms := c.Claim("host:3"); len(rooms) > 0 {
		t.Errorf("without a place it took %v", rooms)
	}
	if err := c.DB.StartAwake(t.Context(), time.Second, "here"); err != nil {
		t.Fatal(err)
	}
	again := c.Claim("host:3@here")
	if len(again) != 1 {
		t.Errorf("it took %v", again)
	}
	c.WantClaim(again[roomA], "1 INSERT a")
	late := []outbox.Ack{{Room: roomA, Fence: held[roomA].Fence, Seq: 1}}
	if refused, err := c.DB.Ack(t.Context(), late); err != nil || len(refused) != 1 {
		t.Errorf("late ack: refused %v, %v", refused, err)
	}
	c.AckAll(again)
}

func TestAckNeedsTheFence(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "one")
	limits := outbox.Limits{Rows: 10, PerRoom: 10, Lease: time.Millisecond}
	first, err := c.DB.Claim(t.Context(), "frozen", limits)
	if err != nil || len(first) != 1 {
		t.Fatalf("claim: %v, %v", first, err)
	}
	c.Exec(`select pg_sleep(0.01), roomcast.set_clock('roomcast.expired_checked', 'epoch')`) // the lease is over by the database's own clock
	second := c.Claim("next")
	late := []outbox.Ack{{Room: roomA, Fence: first[0].Fence, Seq: 1}}
	refused, err := c.DB.Ack(t.Context(), late)
	if err != nil || !slices.Equal(refused, []string{roomA}) {
		t.Errorf("late ack: refused %v, err %v; want %s refused", refused, err, roomA)
	}
	if held, err := c.DB.Park(t.Context(), roomA, first[0].Fence, 1, "late"); err != nil || held {
		t.Errorf("late park: held %v, err %v; want refused", held, err)
	}
	if sent := one[int64](c, `select sent_seq from roomcast.rooms`); sent != 0 {
		t.Errorf("sent_seq is %d after a refused ack", sent)
	}
	c.AckAll(second)
}

func TestClaimBounds(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into messages (room_id, content)
		select ('00000000-0000-4000-8000-0000000000' || (10 + i % 5))::uuid, i::text from generate_series(1, 100) i`)
	rooms, err := c.DB.Claim(t.Context(), "r", outbox.Limits{Rows: 12, PerRoom: 5, Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, r := range rooms {
		sizes = append(sizes, len(r.Rows))
		if r.Rows[0].Seq != 1 {
			t.Errorf("room %s begins with seq %d", r.ID, r.Rows[0].Seq)
		}
	}
	slices.Sort(sizes)
	if !slices.Equal(sizes, []int{2, 5, 5}) {
		t.Errorf("rows per room %v, want 2, 5, 5", sizes)
	}
	// The rooms a relay holds hide nobody from the next one.
	if next := c.Claim("second"); len(next) != 2 {
		t.Errorf("a second relay got %d rooms, want the 2 left", len(next))
	}
}

func TestEdits(t *testing.T) {
	c := newChat(t)
	c.Exec(`alter table messages add column draft text`) // not among the listed columns
	c.Exec(insertMessage, roomA, user1, "hello")
	c.AckAll(c.Claim("r"))
	c.Exec(`update messages set draft = 'x'`)
	c.Exec(`update messages set content = content`)
	if rooms := c.Claim("r"); len(rooms) != 0 {
		t.Errorf("edits that change no listed column were relayed: %v", outboxtest.Brief(rooms[roomA]))
	}
	c.Exec(`update messages set content = 'hello!', draft = 'y'`)
	rooms := c.Claim("r")
	c.WantClaim(rooms[roomA], "2 UPDATE hello!")
	if record := string(rooms[roomA].Rows[0].Change.Record); strings.Contains(record, "draft") {
		t.Errorf("a column that is not listed left the database: %s", record)
	}
}

func TestMoveToAnotherRoom(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "wanderer")
	c.Exec(`update messages set room_id = $1`, roomB)
	rooms := c.Claim("r")
	c.WantClaim(rooms[roomA], "1 DELETE id,room_id", "2 DELETE id,room_id")
	c.WantClaim(rooms[roomB], "1 INSERT wanderer")
}

func TestDeletionTakesTheTextAway(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "regretted")
	c.Exec(insertMessage, roomA, user1, "kept")
	c.AckAll(c.Claim("r"))
	c.Exec(`delete from messages where content = 'regretted'`)
	c.WantClaim(c.Claim("r")[roomA], "3 DELETE id,room_id")
	if n := one[int](c, `select count(*) from roomcast.outbox where record::text like '%regretted%'`); n != 0 {
		t.Errorf("the deleted text is still in %d rows", n)
	}
	if n := one[int](c, `select count(*) from roomcast.outbox where record::text like '%kept%'`); n != 1 {
		t.Errorf("another message's text is in %d rows, want 1", n)
	}
	c.Exec(`truncate messages`)
	c.Exec(`select roomcast.scrub_queued(1000)`)
	if n := one[int](c, `select count(*) from roomcast.outbox where record::text like '%kept%'`); n != 0 {
		t.Errorf("a truncated table's text is still in %d rows", n)
	}
}

func TestMembership(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	c.Exec(`update room_participants set joined_at = now() + '1 s'`) // nothing that anybody is told
	c.Exec(`update room_participants set room_id = $1`, roomB)
	c.Exec(`delete from room_participants`)
	rooms := c.Claim("r")
	all := "room_id,user_id"
	c.WantClaim(rooms[roomA], "1 INSERT "+all, "2 DELETE "+all)
	c.WantClaim(rooms[roomB], "1 INSERT "+all, "2 DELETE "+all)
}

func TestRowsWithoutARoomAreCounted(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, nil, user1, "lost soul")
	if rooms := c.Claim("r"); len(rooms) != 0 {
		t.Errorf("claimed %v", rooms)
	}
	if n := one[int](c, `select count(*) from roomcast.unroutable`); n != 1 {
		t.Errorf("counted %d rows without a room, want 1", n)
	}
}

func TestCaptureOff(t *testing.T) {
	c := newChat(t)
	tx, err := c.Conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`set local roomcast.capture = 'off'`,
		`insert into messages (room_id, content) values ('` + roomA + `', 'imported')`,
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Exec(insertMessage, roomA, user1, "live")
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT live")
}

// Every value of the recorded webhook goes through with the digits, the zeros and
// the characters Postgres wrote.
func TestValuesGoThroughUntouched(t *testing.T) {
	raw, err := os.ReadFile("../../testdata/captures/wh_types_insert.json")
	if err != nil {
		t.Fatal(err)
	}
	var captured struct {
		Body string `json:"body_text"`
	}
	var hook struct{ Record json.RawMessage }
	if err := json.Unmarshal(raw, &captured); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(captured.Body), &hook); err != nil {
		t.Fatal(err)
	}
	c := newChat(t)
	c.Exec(`create table wh_types (id bigint primary key, big bigint, num numeric, numbig numeric, dbl double precision,
		ts timestamptz, tsn timestamp, d date, u uuid, by bytea, j jsonb, js json, arr text[], inet inet, iv interval,
		b boolean, nul text, txt text, room int default 7)`)
	c.Exec(`select roomcast.attach_messages('wh_types', room_column => 'room', columns =>
		'{id,big,num,numbig,dbl,ts,tsn,d,u,by,j,js,arr,inet,iv,b,nul,txt}')`)
	c.Exec(`set timezone = 'Asia/Tokyo'`) // the writer's own zone changes nothing
	c.Exec(`insert into wh_types select * from jsonb_populate_record(null::wh_types, $1::jsonb || '{"room": 7}')`, string(hook.Record))
	got := string(c.Claim("r")["7"].Rows[0].Change.Record)
	var want, have map[string]json.RawMessage // the order of keys is the table's, not jsonb's
	if err := errors.Join(json.Unmarshal(hook.Record, &want), json.Unmarshal([]byte(got), &have)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text(want), text(have)); diff != "" {
		t.Errorf("record changed on its way (-want +got):\n%s", diff)
	}
	for _, literal := range []string{"9223372036854775807", "1234567890123456789.123456789012345678", "0.1000000000", "2.50"} {
		if !strings.Contains(got, literal) {
			t.Errorf("%s did not survive: %s", literal, got)
		}
	}
}

// text is each value as it is written, without the spaces between an array's elements,
// which differ between json and jsonb.
func text(record map[string]json.RawMessage) map[string]string {
	out := map[string]string{}
	for key, value := range record {
		out[key] = strings.ReplaceAll(string(value), `", "`, `","`)
	}
	out["arr"] = strings.ReplaceAll(out["arr"], `, null`, `,null`)
	return out
}

func TestThousandsOfRowsInOneTransaction(t *testing.T) {
	c := newChat(t)
	c.Exec(`update roomcast.settings set bulk = 5000`)
	c.Exec(`insert into messages (room_id, content) select $1, i::text from generate_series(1, 5000) i`, roomA)
	rows := c.Claim("r")[roomA].Rows
	if len(rows) != 5000 {
		t.Fatalf("claimed %d rows, want 5000", len(rows))
	}
	for i, row := range rows {
		var record struct{ Content string }
		if err := json.Unmarshal(row.Change.Record, &record); err != nil {
			t.Fatal(err)
		}
		if row.Seq != int64(i+1) || record.Content != fmt.Sprint(i+1) {
			t.Fatalf("row %d has seq %d and content %s", i+1, row.Seq, record.Content)
		}
	}
}

func TestRowDeletedByHandIsPassedOver(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "one")
	c.Exec(insertMessage, roomA, user1, "two")
	c.Exec(`select roomcast.assign_seqs()`)
	c.Exec(`delete from roomcast.outbox where record::json ->> 'content' = 'one'`)
	rows := c.Claim("r")[roomA].Rows
	if len(rows) != 2 || !rows[0].Missing || rows[1].Missing || rows[1].Seq != 2 {
		t.Errorf("claimed %+v, want a missing row and seq 2", rows)
	}
}

func TestRetention(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "old, sent")
	c.Exec(insertMessage, roomB, user1, "old, waiting")
	rooms := c.Claim("r")
	delete(rooms, roomB)
	c.AckAll(rooms)
	c.Exec(`update roomcast.seq_ranges set at = at - interval '25 hours'`)
	c.Exec(insertMessage, roomA, user1, "young")
	c.AckAll(c.Claim("r"))
	if n, err := c.DB.Clean(t.Context(), 100); err != nil || n != 1 {
		t.Errorf("cleaned %d rows, err %v; want 1", n, err)
	}
	left := one[[]string](c, `select array_agg(record::json ->> 'content' order by id) from roomcast.outbox`)
	if want := []string{"old, waiting", "young"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
}

// A user's DELETE that holds a row makes the retention skip it, not wait for it.
func TestRetentionWaitsForNobody(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "held")
	c.AckAll(c.Claim("r"))
	c.Exec(`update roomcast.seq_ranges set at = at - interval '25 hours'`)
	tx, err := outboxtest.Connect(t, c.URL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `delete from messages`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if n, err := c.DB.Clean(ctx, 100); err != nil || n != 0 {
		t.Errorf("cleaned %d rows, err %v; want 0 at once", n, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.DB.Clean(t.Context(), 100); err != nil || n != 1 {
		t.Errorf("then cleaned %d rows, err %v; want 1", n, err)
	}
}

// A database restored into another cluster counts its transactions from a lower
// number: what nobody has numbered is still found.
func TestRestoredDatabase(t *testing.T) {
	c := newChat(t)
	if err := c.DB.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Fatal(err)
	}
	c.Exec(insertMessage, roomA, user1, "sent before the copy")
	c.AckAll(c.Claim("r"))
	epoch := one[string](c, `select incarnation from roomcast.settings`)
	c.Exec(`insert into roomcast.cursor (next_xid, open_xids) values ('4000000000', '{}')`) // the old cluster was far ahead
	c.Exec(insertMessage, roomA, user1, "written after it")
	c.Claim("r") // notices it, and waits for leases that may have been taken back
	c.Exec(`update roomcast.settings set claims_from = null`)
	c.WantClaim(c.Claim("r")[roomA], "2 INSERT written after it")

	c.Exec(`update roomcast.settings set identity = 'another cluster:' || identity`)
	if err := c.DB.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Fatal(err)
	}
	if now := one[string](c, `select incarnation from roomcast.settings`); now == epoch {
		t.Errorf("the epoch is still %s in another cluster", now)
	}
}

func TestDropLeavesTheTablesAsTheyWere(t *testing.T) {
	c := newChat(t)
	c.Exec(`drop schema roomcast cascade`)
	if n := one[int](c, `select count(*) from pg_trigger where tgrelid in ('messages'::regclass, 'room_participants'::regclass) and not tgisinternal`); n != 0 {
		t.Errorf("%d triggers are left", n)
	}
	c.Exec(insertMessage, roomA, user1, "life goes on")
	if err := admin.Migrate(t.Context(), c.URL); err != nil {
		t.Fatalf("install again: %v", err)
	}
}

func TestDetach(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "before")
	c.Exec(`select roomcast.detach('public.messages')`)
	c.Exec(insertMessage, roomA, user1, "after")
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT before")
}

func TestAttachRefuses(t *testing.T) {
	c := newChat(t)
	c.Exec(`create table keyless (room_id int, content text)`)
	for sql, want := range map[string]string{
		`select roomcast.attach_messages('public.nothing')`:                                         "there is no table public.nothing",
		`select roomcast.attach_messages('public.messages', room_column => 'channel')`:              "no column channel",
		`select roomcast.attach_messages('public.messages', columns => '{id,body}')`:                "no column body",
		`select roomcast.attach_messages('public.messages', columns => '{content}')`:                "must include {id}",
		`select roomcast.attach_messages('public.keyless')`:                                         "no primary key",
		`select roomcast.attach_members('public.room_participants', user_column => 'who')`:          "no column who",
		`select roomcast.configure(url => 'ftp://x')`:                                               "url: must be",
		`select roomcast.configure(url => 'https://app.fly.dev/webhooks/supabase', secret => 'ab')`: "secret: must be",
	} {
		if _, err := c.Conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", sql, err, want)
		}
	}
}

// The relay's role may call the relay's functions and nothing else.
func TestRelayRoleReadsNothing(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "private")
	c.Exec(`alter role roomcast_relay login password 'relay'`)
	config, err := pgx.ParseConfig(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	relay := outboxtest.Open(t, fmt.Sprintf("postgres://roomcast_relay:relay@%s:%d/%s?sslmode=disable", config.Host, config.Port, config.Database))
	if err := relay.StartAwake(t.Context(), time.Second, ""); err != nil {
		t.Errorf("wake: %v", err)
	}
	rooms, err := relay.Claim(t.Context(), "relay", outbox.Limits{Rows: 10, PerRoom: 10, Lease: time.Minute})
	if err != nil || len(rooms) != 1 {
		t.Fatalf("claim: %v, %v", rooms, err)
	}
	if _, err := relay.Ack(t.Context(), []outbox.Ack{{Room: roomA, Fence: rooms[0].Fence, Seq: 1}}); err != nil {
		t.Errorf("ack: %v", err)
	}
	if _, err := relay.MaySleep(t.Context()); err != nil {
		t.Errorf("may rest: %v", err)
	}
	if _, err := (access.Store{DB: relay}).CanRead(t.Context(), roomA, user1, []byte(`{}`)); err != nil {
		t.Errorf("can read: %v", err)
	}
	c.Exec(`set role roomcast_relay`)
	for _, sql := range []string{
		`select * from public.messages`, `select * from public.room_participants`, `select * from roomcast.outbox`,
		`select * from roomcast.settings`, `select roomcast.wakeup_secret()`, `select roomcast.request_wakeup()`,
		`select roomcast.configure(secret => 'stolen-stolen')`, `select roomcast.attach_messages('public.messages')`,
		`insert into roomcast.outbox (attached, op, room, key_hash, record) values (1, 'INSERT', 'x', 0, '{}')`,
	} {
		if _, err := c.Conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: error %v, want permission denied", sql, err)
		}
	}
}
