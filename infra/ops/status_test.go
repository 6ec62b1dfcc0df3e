package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"roomcast/shared/selfcheck"
)

func TestStatus(t *testing.T) {
	p := newInstallation(t)
	p.want(exitOK, `
relay        asleep: the next row wakes it
waiting      nothing
oldest       -
in flight    nothing
parked       none
rate         0.0 rows/s written over the last minute
kept         SIZE, the oldest TIME old`, "status")

	p.write(roomB, 3)
	held := p.claim("relay-1")[roomB]
	p.ack(held, 1, time.Hour)
	p.write(roomA, 2)
	p.claim("relay-2")
	p.write(roomA, 1)
	p.exec(`insert into roomcast.parked values ('x', 1, 1, 'why'); select roomcast.stay_awake('10 s')`)
	p.want(exitOK, `
relay        awake, for another TIME unless renewed
waiting      5 rows in 2 rooms, 1 not yet numbered
oldest       TIME
in flight    2 rows of 1 room, held by relay-2 (1)
resting      1 room after failures, the next try in TIME
parked       1 event given up: ops redrive -parked -dry-run lists them
rate         0.1 rows/s written over the last minute
kept         SIZE, the oldest TIME old`, "status")

	_, out, _ := p.ops("status", "-json")
	var got statusJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Waiting != 5 || got.InFlight != 2 || got.RestingRooms != 1 || got.Parked != 1 || !got.Awake || got.OldestSeconds <= 0 || got.Holders["relay-2"] != 1 {
		t.Errorf("status -json: %s", out)
	}
}

// Rows that no relay has numbered yet are written rows all the same.
func TestStatusCountsWhatIsNotNumbered(t *testing.T) {
	p := newInstallation(t)
	p.exec(`insert into messages (room_id, content) select $1, 'x' from generate_series(1, 60)`, roomA)
	p.exec(`select roomcast.configure(pusher_app => '42')`)
	_, out, _ := p.ops("status")
	for _, want := range []string{"60 rows, 60 not yet numbered", "1.0 rows/s written", "belongs to Pusher app 42"} {
		if !strings.Contains(out, want) {
			t.Errorf("status does not say %q:\n%s", want, out)
		}
	}
}

// With -watch it polls, and says how many rows were sent meanwhile.
func TestStatusWatch(t *testing.T) {
	p := newInstallation(t)
	p.write(roomA, 7)
	room := p.claim("relay-1")[roomA]
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	reader, writer := io.Pipe()
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"status", "-watch", "-every", "100ms", "-json"}, p.environment(), writer, io.Discard)
		writer.Close()
	}()
	polls := json.NewDecoder(reader)
	var first, next statusJSON
	if err := polls.Decode(&first); err != nil || first.Waiting != 7 || first.SentPerSec != nil {
		t.Fatalf("the first poll: %+v, %v", first, err)
	}
	p.ack(room, 7, 0)
	for next.SentPerSec == nil || *next.SentPerSec <= 0 {
		if err := polls.Decode(&next); err != nil {
			t.Fatalf("no poll saw the rows go: %+v, %v", next, err)
		}
	}
	if next.Waiting != 0 {
		t.Errorf("after the rows were sent: %+v", next)
	}
	cancel()
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	if code := <-done; code != exitOK {
		t.Errorf("interrupted, it exits with %d", code)
	}
}

// While pages poll, status says so, since when and why; it asks the function only while a
// relay is awake, since the question would start a machine.
func TestStatusTellsThatPagesPoll(t *testing.T) {
	p := newInstallation(t)
	p.function.self.Relay.Polling = &selfcheck.Polling{Since: time.Now().Add(-time.Minute), Answer: "pusher answered 403: over quota", EverySeconds: 10, LastMinute: 42}
	if _, out, _ := p.ops("status"); strings.Contains(out, "pages") {
		t.Errorf("asleep:\n%s", out)
	}
	p.exec(`select roomcast.stay_awake('30 s')`)
	if _, out, _ := p.ops("status"); !strings.Contains(out, "pusher answered 403: over quota") || !strings.Contains(out, "42 requests in the last minute") {
		t.Errorf("awake:\n%s", out)
	}
	_, out, _ := p.ops("status", "-json")
	var got statusJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Polling == nil || got.Polling.LastMinute != 42 {
		t.Errorf("%v: %s", err, out)
	}
}
