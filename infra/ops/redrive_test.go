package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
)

func TestRedriveParked(t *testing.T) {
	p := newInstallation(t)
	r := p.park()
	p.want(exitOK, "  "+roomA+"  seq 2  INSERT  parked: pusher answered 413\nwould send 1 event again, under their seq", "redrive", "-parked", "-dry-run")
	if n := len(p.pusher.Events()); n != 0 {
		t.Fatalf("the dry run sent %d events", n)
	}
	p.want(exitOK, "sent 1 of 1 event again, under their seq", "redrive", "-parked")

	// It is the very event that the relay would have sent, and the room has not moved.
	first, err := pusher.Events(r.Rows[1].Change, []event.ChannelKind{event.Private}, 9999)
	if err != nil {
		t.Fatal(err)
	}
	sent := p.pusher.Events()
	if len(sent) != 1 || sent[0].Data != string(first[0].Data) || sent[0].Channel != first[0].Channel || sent[0].Name != first[0].Name {
		t.Errorf("redriven as %+v, want %+v", sent, first)
	}
	if seq := one[int64](p, `select sent_seq from roomcast.rooms`); seq != 2 {
		t.Errorf("sent_seq moved to %d", seq)
	}
	if n := one[int](p, `select count(*) from roomcast.parked`); n != 0 {
		t.Errorf("%d events are still parked", n)
	}
	p.want(exitWarning, "nothing to send again: what is asked for is waiting still, is past the retention, or never was", "redrive", "-parked")
}

// A range goes out in order, in batches, and stops before what the relay has still
// to send for the first time.
func TestRedriveRange(t *testing.T) {
	p := newInstallation(t)
	p.write(roomA, 28)
	r := p.claim("relay-1")[roomA]
	p.ack(r, 25, time.Hour)
	p.want(exitOK, "sent 24 of 24 events again, under their seq", "redrive", roomA, "2", "100")
	for i, a := range p.pusher.Events() {
		if seq := seqOf(t, a); seq != int64(i+2) {
			t.Errorf("event %d has seq %d", i, seq)
		}
	}
	if n := p.pusher.Stats().Requests; n != 3 {
		t.Errorf("24 events took %d requests, want 3", n)
	}
}

func seqOf(t *testing.T, a pushertest.Accepted) int64 {
	t.Helper()
	var data struct{ Roomcast struct{ Seq int64 } }
	if err := json.Unmarshal([]byte(a.Data), &data); err != nil {
		t.Fatal(err)
	}
	return data.Roomcast.Seq
}

// What Pusher refuses stays parked and holds up nothing; a failing Pusher ends the
// run, which says where to go on.
func TestRedriveFails(t *testing.T) {
	p := newInstallation(t)
	p.park()
	refusing := p.pusher.Inject(pushertest.Fault{Channel: "private-room-" + roomA, Status: 413})
	code, out, _ := p.ops("redrive", roomA, "2")
	if code != exitWarning || !strings.Contains(out, "refused: ") || !strings.Contains(out, "sent 0 of 1") {
		t.Errorf("refused: exit %d\n%s", code, out)
	}
	if n := one[int](p, `select count(*) from roomcast.parked`); n != 1 {
		t.Errorf("%d events are parked, want 1", n)
	}
	refusing.Remove()
	p.pusher.Inject(pushertest.Fault{Status: 503})
	code, _, problems := p.ops("redrive", roomA, "1", "2")
	if code != exitFailed || !strings.Contains(problems, "stopped at room "+roomA+" seq 1") || !strings.Contains(problems, "503") {
		t.Errorf("failing: exit %d\n%s", code, problems)
	}
	p.pusher.Clear()
	p.want(exitOK, "sent 2 of 2 events again, under their seq", "redrive", roomA, "1", "2")
}

// Several channels, and one rejected event among good ones.
func TestRedriveFindsTheRejected(t *testing.T) {
	p := newInstallation(t)
	p.RoomChannels = []string{"private", "presence", "public"} // presence carries nothing beside private
	p.write(roomA, 4)
	p.ack(p.claim("relay-1")[roomA], 4, 0)
	p.pusher.Inject(pushertest.Fault{Status: 400, Times: 2}) // the batch of four, and that of two
	_, out, _ := p.ops("redrive", roomA, "1", "4", "-json")
	var got redriven
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Sent != 4 || len(got.Events) != 4 || len(got.Refused) != 0 {
		t.Errorf("redrive -json: %s (%v)", out, err)
	}
	if n := len(p.pusher.Events()); n != 8 {
		t.Errorf("%d events for two channels, want 8", n)
	}
}

// Each room is sent again, and shown, on the channels it has.
func TestRedrivePackedRooms(t *testing.T) {
	p := newInstallation(t)
	p.RoomChannels, p.PackedRooms = []string{"packed"}, []string{roomA}
	for room, channel := range map[string]string{roomA: "private-packed-room-" + roomA, roomB: "private-room-" + roomB} {
		p.write(room, 2)
		p.ack(p.claim("relay-1")[room], 2, 0)
		before := len(p.pusher.Events())
		p.want(exitOK, "sent 2 of 2 events again, under their seq", "redrive", room, "1", "2")
		sent := p.pusher.Events()[before:]
		if len(sent) != 2 || sent[0].Channel != channel || sent[1].Channel != channel || sent[0].Name != event.NewMessage {
			t.Errorf("room %s is sent again as %+v", room, sent)
		}
		if _, out, _ := p.ops("inspect", room); !strings.Contains(out, " "+channel+"\n") {
			t.Errorf("inspect does not show %s:\n%s", channel, out)
		}
	}
}

func TestSkipCommand(t *testing.T) {
	p := newInstallation(t)
	p.write(roomA, 3)
	p.claim("relay-1")
	line := "       1  waiting  INSERT  DATE  SIZE  {\"id\": \"ID\", \"room_id\": \"" + roomA + "\"}\n"
	p.want(exitOK, line+"would park seq 1 of room "+roomA+"; 2 events behind it would go on. The room is held by relay-1 for another TIME",
		"skip", roomA, "1", "-reason", "it hangs", "-dry-run")
	if n := one[int](p, `select count(*) from roomcast.parked`); n != 0 {
		t.Fatal("the dry run parked something")
	}
	p.want(exitFailed, "ops: room "+roomA+" is not stuck at seq 2: 0 of 3 are sent", "skip", roomA, "2", "-reason", "x")
	p.want(exitOK, line+"parked seq 1 of room "+roomA+"; 2 events behind it go on. ops redrive "+roomA+" 1 sends it once more",
		"skip", roomA, "1", "-reason", "it hangs")
	if got := one[string](p, `select reason || ' ' || sent_seq from roomcast.parked join roomcast.rooms using (room)`); got != "skipped by hand: it hangs 1" {
		t.Errorf("parked: %s", got)
	}
	if code, _, _ := p.ops("skip", roomA, "2"); code != exitFailed {
		t.Errorf("skip without a reason: exit %d", code)
	}
}
