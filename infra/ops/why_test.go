package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestInspect(t *testing.T) {
	p := newInstallation(t)
	p.want(exitWarning, "nothing in room "+roomA+" has been numbered yet: no relay has claimed a row of it, or there never was one", "inspect", roomA)
	p.park()
	p.write(roomA, 1)
	p.want(exitOK, `
room         `+roomA+`
channel      private-room-`+roomA+`
seq          2 of 3 sent, epoch EPOCH, kept from 1 on
waiting      1 row, and 1 not yet numbered
lease        nobody's: due since TIME, and the relay sleeps (fence 1)
parked       seq 2: pusher answered 413

       1  sent     INSERT  DATE  SIZE  {"id": "ID", "room_id": "`+roomA+`"}
       2  parked   INSERT  DATE  SIZE  {"id": "ID", "room_id": "`+roomA+`"}
       3  waiting  INSERT  DATE  SIZE  {"id": "ID", "room_id": "`+roomA+`"}`, "inspect", roomA)
	p.claim("relay-1")
	_, out, _ := p.ops("inspect", roomA, "-json")
	var got roomView
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Head != 4 || got.Holder != "relay-1" || got.DueSeconds < 50 ||
		len(got.Events) != 4 || got.Events[1].Verdict != isParked || got.Events[3].Verdict != isWaiting || got.Parked[0].Seq != 2 {
		t.Errorf("inspect -json: %s (%v)", out, err)
	}
}

func TestWhy(t *testing.T) {
	p := newInstallation(t)
	id := p.write(roomA, 1)
	keys := `{"id": "ID", "room_id": "` + roomA + `"}`
	p.want(exitOK, `
not numbered yet (waiting) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
waiting      the relay sleeps; a wake-up is on its way; if it is lost, the next sweep sends another`, "why", id)

	p.write(roomA, 2)
	r := p.claim("relay-1")[roomA]
	p.want(exitOK, `
seq 3 (waiting) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
numbered     TIME later, under epoch EPOCH
waiting      the room is held by relay-1 for another TIME
behind       2 events, the first is seq 1: ops why `+roomA+` 1`, "why", roomA, "3")

	p.ack(r, 1, time.Hour)
	p.want(exitOK, `
seq 2 (waiting) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
numbered     TIME later, under epoch EPOCH
waiting      the room is nobody's: it rests after a failure, the next try is in TIME`, "why", roomA, "2")
	p.want(exitOK, `
seq 1 (accepted) of room `+roomA+`
written      DATE UTC: INSERT on messages, `+keys+`, SIZE
numbered     TIME later, under epoch EPOCH
accepted     DATE UTC by Pusher, TIME after it was written
kept         for another TIME, for browsers that catch up`, "why", id)
	p.want(exitWarning, "room "+roomA+" has numbered up to seq 3, and keeps them from 1 on: older ones were sent and are past the retention", "why", roomA, "4")
	p.want(exitFailed, `ops: SEQ must be a number from 1 on, not "x"`, "why", roomA, "x")
}

func TestWhyParkedAndDeleted(t *testing.T) {
	p := newInstallation(t)
	p.park()
	p.exec(`delete from roomcast.outbox where id = roomcast.at_seq($1, 1)`, roomA)
	p.want(exitOK, `
seq 2 (parked) of room `+roomA+`
written      DATE UTC: INSERT on messages, {"id": "ID", "room_id": "`+roomA+`"}, SIZE
numbered     TIME later, under epoch EPOCH
parked       DATE UTC: pusher answered 413
so           browsers see the gap and fetch it over HTTP; ops redrive `+roomA+` 2 sends it once more`, "why", roomA, "2")
	_, out, _ := p.ops("why", roomA, "1")
	if !strings.Contains(out, "seq 1 (deleted by hand)") || !strings.Contains(out, "passed over") {
		t.Errorf("why of a row deleted by hand:\n%s", out)
	}
}

// An event that left no trace is explained by the row itself.
func TestWhyNoTrace(t *testing.T) {
	p := newInstallation(t)
	noRoom := one[string](p, `insert into messages (content) values ($1) returning id::text`, text)
	p.exec(`set roomcast.capture = 'off'`)
	unseen := p.write(roomA, 1)
	for id, want := range map[string]string{
		noRoom: "its room is null",
		unseen: "with roomcast.capture off",
		roomB:  "no attached table has a row",
	} {
		if code, out, _ := p.ops("why", id); code != exitWarning || !strings.Contains(out, want) {
			t.Errorf("why %s: exit %d, want %q:\n%s", id, code, want, out)
		}
	}
}
