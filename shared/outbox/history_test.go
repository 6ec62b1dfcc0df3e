package outbox_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/event"
	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

// page writes a page as "epoch-ok head first reset last: seq op content …".
func (c *chat) page(q outbox.HistoryQuery) string {
	c.Helper()
	if q.Room == "" {
		q.Room = roomA
	}
	if q.UserID == "" {
		q.UserID = user1
	}
	h, err := c.DB.History(c.Context(), q)
	if err != nil {
		c.Fatal(err)
	}
	lines := make([]string, 0, len(h.Changes))
	for _, change := range h.Changes {
		if change.Position.Epoch != h.Epoch || change.Position.At == "" {
			c.Errorf("position %+v", change.Position)
		}
		lines = append(lines, outboxtest.Brief(outbox.Room{Rows: []outbox.Row{{Seq: change.Position.Seq, Change: change}}})...)
	}
	return fmt.Sprintf("head %d first %d reset %v last %d: %s", h.Head, h.First, h.Reset, h.Last, strings.Join(lines, ", "))
}

func (c *chat) wantPage(q outbox.HistoryQuery, want string) {
	c.Helper()
	if diff := cmp.Diff(want, c.page(q)); diff != "" {
		c.Errorf("page %+v (-want +got):\n%s", q, diff)
	}
}

func TestHistoryPages(t *testing.T) {
	c := newChat(t)
	c.wantPage(outbox.HistoryQuery{Max: 10}, "head 0 first 1 reset false last 0: ")
	c.wantPage(outbox.HistoryQuery{After: 7, Max: 10}, "head 0 first 1 reset true last 0: ")
	for i := 1; i <= 5; i++ {
		c.Exec(insertMessage, roomA, user1, fmt.Sprint("m", i))
		c.Exec(insertMessage, roomB, user1, "elsewhere")
		if i != 3 { // so that runs of one and of two make up the room
			c.Exec(`select roomcast.assign_seqs()`)
		}
	}
	all := "1 INSERT m1, 2 INSERT m2, 3 INSERT m3, 4 INSERT m4, 5 INSERT m5"
	c.wantPage(outbox.HistoryQuery{Max: 10}, "head 5 first 1 reset false last 5: "+all)
	c.wantPage(outbox.HistoryQuery{After: 1, Max: 2}, "head 5 first 1 reset false last 3: 2 INSERT m2, 3 INSERT m3")
	c.wantPage(outbox.HistoryQuery{After: 5, Max: 2}, "head 5 first 1 reset false last 5: ")
	c.wantPage(outbox.HistoryQuery{After: 3, Max: 0}, "head 5 first 1 reset false last 3: ")
	c.wantPage(outbox.HistoryQuery{After: 6, Max: 10}, "head 5 first 1 reset true last 5: "+all)
	c.wantPage(outbox.HistoryQuery{After: 4, Epoch: "other", Max: 10}, "head 5 first 1 reset true last 5: "+all)
	epoch := one[string](c, `select epoch from roomcast.rooms where room = $1`, roomA)
	c.wantPage(outbox.HistoryQuery{After: 4, Epoch: epoch, Max: 10}, "head 5 first 1 reset false last 5: 5 INSERT m5")
}

// What a run of a thousand leaves over is found from any place in it.
func TestHistoryInLongRuns(t *testing.T) {
	c := newChat(t)
	c.Exec(`update roomcast.settings set bulk = 2500`)
	c.Exec(`insert into messages (room_id, content) select $1, 'm' || i from generate_series(1, 2500) i`, roomA)
	c.Exec(`select roomcast.assign_seqs()`)
	for _, after := range []int64{0, 499, 998, 999, 1000, 1999, 2498} {
		h, err := c.DB.History(t.Context(), outbox.HistoryQuery{Room: roomA, UserID: user1, After: after, Max: 500})
		if err != nil {
			t.Fatal(err)
		}
		if want := min(500, 2500-after); int64(len(h.Changes)) != want || h.Changes[0].Position.Seq != after+1 || h.Last != after+want {
			t.Errorf("after %d: %d events from %d to %d", after, len(h.Changes), h.Changes[0].Position.Seq, h.Last)
		}
	}
}

func TestHistoryWindow(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "old")
	c.AckAll(c.Claim("r"))
	c.Exec(`update roomcast.seq_ranges set at = at - interval '25 hours'`)
	c.Exec(insertMessage, roomA, user1, "young")
	c.AckAll(c.Claim("r"))
	if _, err := c.DB.Clean(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	c.wantPage(outbox.HistoryQuery{Max: 10}, "head 2 first 2 reset true last 2: 2 INSERT young")
	c.wantPage(outbox.HistoryQuery{After: 1, Max: 10}, "head 2 first 2 reset false last 2: 2 INSERT young")
	c.Exec(`delete from roomcast.outbox; delete from roomcast.seq_ranges`)
	c.wantPage(outbox.HistoryQuery{After: 1, Max: 10}, "head 2 first 3 reset true last 2: ")
	c.wantPage(outbox.HistoryQuery{After: 2, Max: 10}, "head 2 first 3 reset false last 2: ")
}

// readable_since hides what listeners heard before it, from that user only.
func TestHistoryReadableSince(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "before")
	c.Exec(`select roomcast.assign_seqs()`)
	c.Exec(`update roomcast.seq_ranges set newest = newest - interval '1 hour'; update roomcast.outbox set at = at - interval '1 hour'`)
	c.Exec(insertMessage, roomA, user1, "since")
	c.Exec(`select roomcast.assign_seqs()`)
	c.Exec(`create or replace function roomcast.readable_since(room text, user_id uuid) returns timestamptz
		language sql stable as $$ select case user_id when '` + user2 + `' then now() - interval '1 minute' end $$`)
	c.wantPage(outbox.HistoryQuery{UserID: user2, Max: 10}, "head 2 first 2 reset true last 2: 2 INSERT since")
	c.wantPage(outbox.HistoryQuery{UserID: user1, Max: 10}, "head 2 first 1 reset false last 2: 1 INSERT before, 2 INSERT since")
}

// What was written before a user joined is not theirs because the relay was away, and
// numbered it afterwards.
func TestHistoryGoesByTheTimeOfWriting(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "before")
	c.Exec(`update roomcast.outbox set at = at - interval '1 hour'`)
	c.Exec(insertMessage, roomA, user1, "since")
	c.Exec(`select roomcast.assign_seqs()`)
	c.Exec(`create or replace function roomcast.readable_since(room text, user_id uuid) returns timestamptz
		language sql stable as $$ select now() - interval '1 minute' $$`)
	c.wantPage(outbox.HistoryQuery{UserID: user2, Max: 10}, "head 2 first 1 reset false last 2: 2 INSERT since")
}

// A hole larger than a page is passed over at once.
func TestHistoryOverAHole(t *testing.T) {
	c := newChat(t)
	for i := range 6 {
		c.Exec(insertMessage, roomA, user1, fmt.Sprint(i+1))
		c.AckAll(c.Claim("r"))
	}
	c.Exec(`delete from roomcast.seq_ranges where first_seq between 2 and 5`) // the first was locked when its turn came
	c.wantPage(outbox.HistoryQuery{After: 1, Max: 2}, "head 6 first 1 reset false last 6: 6 INSERT 6")
	c.wantPage(outbox.HistoryQuery{After: 3, Max: 2}, "head 6 first 1 reset false last 6: 6 INSERT 6")
	c.Exec(`delete from roomcast.seq_ranges where first_seq = 6`)
	c.wantPage(outbox.HistoryQuery{After: 1, Max: 2}, "head 6 first 1 reset false last 6: ")
}

func TestHistoryParkedDeletedAndMissing(t *testing.T) {
	c := newChat(t)
	for _, content := range []string{"parked", "regretted", "vanished", "kept"} {
		c.Exec(insertMessage, roomA, user1, content)
	}
	room := c.Claim("r")[roomA]
	if held, err := c.DB.Park(t.Context(), roomA, room.Fence, 1, "too large"); err != nil || !held {
		t.Fatal(held, err)
	}
	c.Exec(`delete from messages where content = 'regretted'`)
	c.Exec(`delete from roomcast.outbox where record::json ->> 'content' = 'vanished'`)
	c.Exec(`select roomcast.assign_seqs()`)
	c.wantPage(outbox.HistoryQuery{Max: 3}, "head 5 first 1 reset false last 3: 1 INSERT parked, 2 DELETE id,room_id")
	c.wantPage(outbox.HistoryQuery{After: 3, Max: 3}, "head 5 first 1 reset false last 5: 4 INSERT kept, 5 DELETE id,room_id")
}

// A page ends before its second megabyte.
func TestHistoryBytes(t *testing.T) {
	c := newChat(t)
	for range 9 {
		c.Exec(`insert into messages (room_id, content) select $1, string_agg(md5(i::text), '') from generate_series(1, 7500) i`, roomA)
	}
	c.Exec(`select roomcast.assign_seqs()`)
	var after int64
	var sizes []int
	for after < 9 {
		h, err := c.DB.History(t.Context(), outbox.HistoryQuery{Room: roomA, UserID: user1, After: after, Max: 100})
		if err != nil || h.Last == after {
			t.Fatal(h.Last, err)
		}
		after = h.Last
		sizes = append(sizes, len(h.Changes))
	}
	if diff := cmp.Diff([]int{5, 4}, sizes); diff != "" {
		t.Errorf("events per page (-want +got):\n%s", diff)
	}
}

// What is fetched is what was sent, byte for byte.
func TestHistoryIsWhatWasSent(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "übermorgen 🎈 \"<b>\"")
	c.Exec(`update messages set content = content || '!'`)
	c.Exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user1)
	rows := c.Claim("r")[roomA].Rows
	h, err := c.DB.History(t.Context(), outbox.HistoryQuery{Room: roomA, UserID: user1, Max: 10})
	if err != nil || len(h.Changes) != 3 || h.Sent != 0 {
		t.Fatalf("%+v, %v", h, err)
	}
	for i, change := range h.Changes {
		fetched, err := event.Translate(change, 0)
		if err != nil {
			t.Fatal(err)
		}
		sent, err := event.Translate(rows[i].Change, 0)
		if diff := cmp.Diff(sent, fetched); err != nil || diff != "" {
			t.Errorf("fetched differs from sent (-sent +fetched, %v):\n%s", err, diff)
		}
	}
}

// However large the outbox, a page is a few index lookups.
func TestHistoryScansNothing(t *testing.T) {
	c := newChat(t)
	c.Exec(`update roomcast.settings set bulk = 100000`)
	c.Exec(`insert into messages (room_id, content) select $1, 'm' from generate_series(1, 20000)`, roomA)
	c.Exec(`select roomcast.assign_seqs()`)
	c.Exec(`analyze roomcast.outbox`)
	c.Exec(`analyze roomcast.seq_ranges`)
	tx, err := c.Conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	var rows, scans int
	if err := tx.QueryRow(t.Context(), `select count(*) from roomcast.history($1, 15000, 100, '-infinity')`, roomA).Scan(&rows); err != nil || rows != 100 {
		t.Fatal(rows, err)
	}
	err = tx.QueryRow(t.Context(), `select sum(seq_scan) from pg_stat_xact_user_tables
		where schemaname = 'roomcast' and relname in ('outbox', 'runs')`).Scan(&scans)
	if err != nil || scans != 0 {
		t.Errorf("%d sequential scans, %v", scans, err)
	}
}

// However many ranges of a room are kept, a claim and a page read those they need.
func TestRangesThatAreKeptCostNothing(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage, roomA, user1, "first")
	c.AckAll(c.Claim("r"))
	c.Exec(`insert into roomcast.seq_ranges (room, first_seq, last_seq, ids) select $1, i, i, array[-i] from generate_series(2, 5000) i`, roomA)
	c.Exec(`update roomcast.rooms set head_seq = 5000, sent_seq = 5000`)
	c.Exec(insertMessage, roomA, user1, "last")
	c.Exec(`analyze roomcast.seq_ranges`)
	for what, sql := range map[string]string{
		"a claim": `select count(*) from roomcast.claim('r', 100, 100, '1 minute') c where $1 <> ''`,
		"a page":  `select count(*) from roomcast.history($1, 5000, 100, '-infinity')`,
	} {
		tx, err := c.Conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var rows, read int
		if _, err := tx.Exec(t.Context(), `select roomcast.assign_seqs()`); err != nil {
			t.Fatal(err)
		}
		const readSQL = `select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where schemaname = 'roomcast' and relname = 'seq_ranges'`
		var before int
		if err := tx.QueryRow(t.Context(), readSQL).Scan(&before); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(t.Context(), sql, roomA).Scan(&rows); err != nil || rows != 1 {
			t.Fatal(what, rows, err)
		}
		if err := tx.QueryRow(t.Context(), readSQL).Scan(&read); err != nil || read-before > 10 {
			t.Errorf("%s of one row read %d ranges, %v", what, read-before, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
