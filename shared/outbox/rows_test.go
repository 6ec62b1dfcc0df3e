package outbox_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"roomcast/shared/outbox/outboxtest"
)

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
