package outbox_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

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

// A room that is numbered beside one that waits, of which one claim takes no more than that,
// wants attention: else only the search for ended leases would find it.
func TestNumberedAndNotTaken(t *testing.T) {
	c := newChat(t)
	c.Exec(insertMessage+`, ($1, $2, 'again')`, roomA, user1, "hi")
	limits := outbox.Limits{Rows: 1, PerRoom: 1, Lease: time.Minute}
	for range 2 {
		rooms, err := c.DB.Claim(t.Context(), "r", limits)
		if err != nil || len(rooms) != 1 || rooms[0].ID != roomA {
			t.Fatalf("claimed %v, %v, want room A", rooms, err)
		}
		c.AckAll(map[string]outbox.Room{roomA: rooms[0]})
		c.Exec(insertMessage, roomB, user1, "there")
	}
	if n := one[int](c, `select count(*)::int from roomcast.rooms where head_seq > sent_seq and attention is null and holder is null`); n != 0 {
		t.Errorf("%d rooms have rows waiting, no relay and nobody's attention", n)
	}
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
