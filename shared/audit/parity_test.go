package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/audit"
	"roomcast/shared/outbox/outboxtest"
)

const page1 = "99999999-0000-4000-8000-000000000001"

func (c *chat) store() audit.Store { return audit.Store{DB: c.DB} }

func (c *chat) note(r audit.Receipt) string {
	c.Helper()
	outcome, err := c.store().NoteReceipt(c.Context(), r)
	if err != nil {
		c.Fatal(err)
	}
	return outcome
}

func (c *chat) parity() audit.Report {
	c.Helper()
	p, err := c.store().Parity(c.Context(), time.Now().Add(-24*time.Hour), 10)
	if err != nil {
		c.Fatal(err)
	}
	return p
}

// audit returns the counts by problem; -1 is what cannot be told.
func (c *chat) audit() map[string]int64 {
	c.Helper()
	found, err := c.store().Audit(c.Context(), 24*time.Hour)
	if err != nil {
		c.Fatal(err)
	}
	out := map[string]int64{}
	for _, f := range found {
		if f.Count == nil {
			out[f.Problem] = -1
		} else if *f.Count > 0 {
			out[f.Problem] = *f.Count
		}
	}
	return out
}

func (c *chat) wantAudit(want map[string]int64) {
	c.Helper()
	if diff := cmp.Diff(want, c.audit()); diff != "" {
		c.Errorf("audit (-want +got):\n%s", diff)
	}
}

// longAgo lets the source seem attached long before, so that the audit judges what
// the test has just written.
func (c *chat) longAgo() {
	c.Exec(`update roomcast.attached_tables set attached_at = now() - interval '1 day'`)
}

func TestReceiptsAddUpAndRepeatsDoNot(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "hi")
	c.Exec(insertMessage, roomB, user1, "nobody watches")
	r := audit.Receipt{UserID: user1, Page: page1, Room: roomA, N: 1, Seen: audit.Seen{
		Both: 3, OnlyPusher: 1, Fetched: 1, PusherDelays: []int64{1, 2}, SupabaseDelays: []int64{0, 0, 3}}}
	if got := []string{c.note(r), c.note(r)}; got[0] != audit.ReceiptNoted || got[1] != audit.ReceiptRepeat {
		t.Errorf("outcomes %v", got)
	}
	r.N = 2
	r.Seen = audit.Seen{Both: 2, SupabaseRepeats: 1, PusherDelays: []int64{0, 0, 0, 4}}
	c.note(r)
	r.UserID = user2 // the same page id in other hands is another page
	c.note(r)

	p := c.parity()
	if len(p.Hours) == 0 || p.RoomsActive != 2 || p.RoomsWatched != 1 || len(p.Rooms) != 2 {
		t.Fatalf("%+v", p)
	}
	want := audit.Cell{Room: roomA, Receipts: 3, Pages: 2, Committed: 1, Seen: audit.Seen{
		Both: 7, OnlyPusher: 1, Fetched: 1, SupabaseRepeats: 2,
		PusherDelays: []int64{1, 2, 0, 8}, SupabaseDelays: []int64{0, 0, 3}}}
	got := p.Rooms[0]
	if got.Hour.IsZero() {
		t.Error("a watched room without an hour")
	}
	got.Hour = time.Time{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("room (-want +got):\n%s", diff)
	}
}

func TestReceiptsAreBounded(t *testing.T) {
	c := newChat(t)
	r := audit.Receipt{UserID: user1, Page: page1, Room: roomA, N: 20}
	if got := c.note(r); got != audit.ReceiptNoted {
		t.Errorf("the first twenty may come at once, got %s", got)
	}
	r.N = 22
	if got := c.note(r); got != audit.ReceiptEarly {
		t.Errorf("N beyond its time: %s", got)
	}
	c.Exec(`update roomcast.receipts set first_at = now() - interval '1 minute'`)
	if got := c.note(r); got != audit.ReceiptNoted {
		t.Errorf("N a minute later: %s", got)
	}
	c.Exec(`insert into roomcast.receipts (user_id, page, room, n, hour)
		select $1, gen_random_uuid(), 'x', 1, now() from generate_series(1, 200)`, user1)
	r.N, r.Page = 1, "99999999-0000-4000-8000-000000000002"
	if got := c.note(r); got != audit.ReceiptMany {
		t.Errorf("the 202nd page: %s", got)
	}
}

// What the retention takes is still counted, while there is a dual run.
func TestCommittedOutlivesTheRetention(t *testing.T) {
	c := newChat(t)
	c.note(audit.Receipt{UserID: user1, Page: page1, Room: roomA, N: 1, Seen: audit.Seen{Both: 2}})
	c.Exec(insertMessage, roomA, user1, "1")
	c.Exec(insertMessage, roomA, user1, "2")
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1) // no message
	c.AckAll(c.Claim("r"))
	c.Exec(`update roomcast.seq_ranges set at = now() - interval '2 days'`)
	c.Exec(insertMessage, roomA, user1, "3")
	if n, err := c.DB.Clean(t.Context(), 10); err != nil || n != 4 {
		t.Fatalf("cleaned %d, %v", n, err)
	}
	if got := c.parity().Rooms[0].Committed; got != 3 {
		t.Errorf("committed %d, want 3", got)
	}
	c.Exec(`update roomcast.parity set hour = hour - interval '15 days'`)
	if _, err := c.DB.Clean(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	if n := one[int](c, `select count(*)::int from roomcast.parity`); n != 0 {
		t.Errorf("%d rows older than two weeks are left", n)
	}
}

// The audit's hash and capture's are one, for one key column and for two.
func TestAuditFindsNothingWhereAllWasCaptured(t *testing.T) {
	c := newChat(t)
	c.Exec(`create table notes (room text, n bigint generated always as identity, body text, at timestamp not null default now(), primary key (room, n));
		select roomcast.attach_messages('notes', 'room')`)
	c.longAgo()
	c.Exec(`insert into notes (room, body) values ('a "b"', 'x'), (E'c\u00e9', 'y')`)
	c.Exec(insertMessage, roomA, user1, "hi")
	c.Exec(`update messages set content = 'edited'`)
	c.wantAudit(map[string]int64{})
	c.Exec(`delete from messages`)
	c.Exec(`delete from roomcast.outbox where attached = (select id from roomcast.attached_tables where relation = 'notes'::regclass)`)
	c.wantAudit(map[string]int64{"missing": 2})
}

func TestAuditSparesWhatIsNoLoss(t *testing.T) {
	c := newChat(t)
	c.Exec(`insert into messages (room_id, content, created_at) values ($1, 'old', now() - interval '3 days')`, roomA)
	c.Exec(`delete from roomcast.outbox`) // as the retention would
	c.Exec(insertMessage, nil, user1, "without a room")
	for _, import_ := range []string{ // one row's xmin is the transaction's, the other's a savepoint's
		`insert into messages (room_id, content) values ('` + roomA + `', 'import')`,
		`do $$ begin insert into messages (room_id, content) values ('` + roomA + `', 'import'); exception when division_by_zero then null; end $$`,
	} {
		c.Exec(`begin; set local roomcast.capture = 'off'; ` + import_ + `; ` + import_ + `; commit`)
	}
	c.longAgo()
	c.wantAudit(map[string]int64{"unroutable": 1})

	c.Exec(`alter table messages disable trigger user`)
	c.Exec(insertMessage, roomA, user1, "lost")
	c.Exec(`alter table messages enable trigger user`)
	c.wantAudit(map[string]int64{"unroutable": 1, "missing": 1})
	c.Exec(`update roomcast.attached_tables set attached_at = now()`)
	c.wantAudit(map[string]int64{"unroutable": 1})
}

func TestAuditBySerialKeyOrNotAtAll(t *testing.T) {
	c := newChat(t)
	c.Exec(`create table plain (id bigserial primary key, room text, body text);
		create table opaque (id uuid primary key default gen_random_uuid(), room text, at timestamptz, updated_at timestamptz default now());
		select roomcast.attach_messages('plain', 'room'), roomcast.attach_messages('opaque', 'room')`)
	c.longAgo()
	c.Exec(`insert into plain (room) values ('a'), ('a'), ('a')`)
	c.Exec(`delete from roomcast.outbox where record::json ->> 'id' = '2'`)
	got := map[string]audit.Finding{}
	found, err := c.store().Audit(t.Context(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		got[f.Table] = f
	}
	if f := got["public.plain"]; f.Count == nil || *f.Count != 1 || f.Note != "by id" {
		t.Errorf("plain: %+v", f)
	}
	if f := got["public.opaque"]; f.Count != nil || f.Note == "" {
		t.Errorf("opaque: %+v", f)
	}
	c.Exec(`select roomcast.auditing('opaque', 'at')`)
	c.Exec(`alter table opaque disable trigger user`)
	c.Exec(`insert into opaque (room, at) values ('a', now())`)
	if got := c.audit()["missing"]; got != 1 {
		t.Errorf("missing %d, want the last table's 1", got)
	}
}

func TestRepairSendsAgainWhatIsMissing(t *testing.T) {
	c := newChat(t)
	c.longAgo()
	c.Exec(`alter table messages disable trigger user`)
	c.Exec(insertMessage, roomA, user1, "first")
	c.Exec(insertMessage, roomA, user1, "second")
	c.Exec(insertMessage, roomA, user1, "taken back")
	c.Exec(`delete from messages where content = 'taken back'`)
	c.Exec(`alter table messages enable trigger user`)

	// The hourly audit only notes it, until it is allowed more.
	c.Exec(`select roomcast.scheduled_audit()`)
	if n := one[int](c, `select count(*)::int from roomcast.outbox`); n != 0 {
		t.Fatalf("%d rows enqueued without leave", n)
	}
	if n := one[int](c, `select found::int from roomcast.audits where problem = 'missing'`); n != 2 {
		t.Errorf("noted %d missing", n)
	}
	c.Exec(`select roomcast.auditing('messages', repairs => true)`)
	c.Exec(`select roomcast.scheduled_audit()`)
	c.Exec(`select roomcast.repair()`)
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT first", "2 INSERT second")
	c.wantAudit(map[string]int64{})
	if got := c.parity().Repaired; got != 2 {
		t.Errorf("repaired %d, want 2", got)
	}
}

// A message that is being deleted is left alone, and its text stays gone.
func TestRepairYieldsToADelete(t *testing.T) {
	c := newChat(t)
	c.longAgo()
	c.Exec(`alter table messages disable trigger user`)
	c.Exec(insertMessage, roomA, user1, "secret")
	c.Exec(`alter table messages enable trigger user`)
	deleter := outboxtest.Connect(t, c.URL)
	tx, err := deleter.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `delete from messages`); err != nil {
		t.Fatal(err)
	}
	c.Exec(`select roomcast.repair()`)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := one[int](c, `select count(*)::int from roomcast.outbox where record like '%"content"%'`); n != 0 {
		t.Error("the deleted text is in the outbox")
	}
}

func TestRepairOfANumberingThatPassedARowOver(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "1")
	c.AckAll(c.Claim("r"))
	c.Exec(`insert into roomcast.cursor (next_xid, open_xids) values (pg_snapshot_xmax(pg_current_snapshot()), '{}')`)
	c.Exec(`with passed as (delete from roomcast.seq_ranges returning room) update roomcast.rooms set head_seq = 0, sent_seq = 0`)
	c.wantAudit(map[string]int64{"unnumbered": 1})
	c.Exec(`select roomcast.repair()`)
	c.WantClaim(c.Claim("r")[roomA], "1 INSERT 1")
}

func TestAuditSeesWhatWaitsAndWhatWasDeletedByHand(t *testing.T) {
	c := newChat(t)
	c.longAgo()
	c.Exec(insertMessage, roomA, user1, "1")
	c.Exec(insertMessage, roomB, user1, "2")
	c.wantAudit(map[string]int64{}) // a minute has not passed
	c.Exec(`update roomcast.outbox set at = at - interval '2 minutes'`)
	c.wantAudit(map[string]int64{"waiting": 2}) // not even numbered
	rooms := c.Claim("r")
	c.wantAudit(map[string]int64{"waiting": 2})
	delete(rooms, roomB)
	c.AckAll(rooms)
	c.Exec(`delete from roomcast.outbox where room = $1`, roomA)
	c.wantAudit(map[string]int64{"waiting": 1, "holes": 1, "missing": 1})
}

func TestAuditThatTakesTooLong(t *testing.T) {
	c := newChat(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := c.store().Audit(ctx, time.Hour); !errors.Is(err, audit.ErrTooLong) {
		t.Errorf("got %v", err)
	}
}
