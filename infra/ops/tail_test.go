package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/token/tokentest"
)

// A member's tail of the real function: what Pusher drops is fetched, each event comes
// once and in order, and it ends with the membership.
func TestTail(t *testing.T) {
	p := newInstallation(t)
	const user = "11111111-0000-4000-8000-000000000001"
	p.exec(`insert into room_participants (room_id, user_id) values ($1, $2)`, roomA, user)
	address := p.runFunction(p.environment()...)
	p.configure(address + webhookPath)
	environ := append(p.environment(), "ROOMCAST_URL="+address, "USER_TOKEN="+p.token(user))

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	reader, writer := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"tail", roomA, "-json"}, environ, writer, io.Discard)
		writer.Close()
	}()
	lines := make(chan tailJSON, 100)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(reader); scan.Scan(); {
			var e tailJSON
			if json.Unmarshal(scan.Bytes(), &e) == nil {
				lines <- e
			}
		}
	}()
	if err := p.pusher.WaitSubscribers(ctx, "private-room-"+roomA, 1); err != nil {
		t.Fatal(err)
	}
	first := p.firstOf(lines)
	p.pusher.Inject(pushertest.Fault{Drop: true, Times: 1})
	p.write(roomA, 1)
	lost := p.awaitSent()
	p.write(roomA, 2)
	for want := first.Seq + 1; want <= lost+2; want++ {
		if e := <-lines; e.Seq != want || e.Name != "new-message" || e.Data != nil {
			t.Fatalf("shown: %+v, want seq %d without data", e, want)
		}
	}
	p.exec(`delete from room_participants where user_id = $1`, user)
	if e := <-lines; e.Name != "user-left" {
		t.Errorf("shown: %+v, want user-left", e)
	}
	if e := <-lines; e.Name != "denied" {
		t.Errorf("shown: %+v, want denied", e)
	}
	if got := <-code; got != exitFailed {
		t.Errorf("exit %d", got)
	}
}

func (p *installation) token(user string) string {
	p.Helper()
	token, err := p.signer.Sign(tokentest.Claims(p.SupabaseURL, user, time.Now()))
	if err != nil {
		p.Fatal(err)
	}
	return token
}

// firstOf writes until the tail, which begins at some moment after its subscription,
// shows something.
func (p *installation) firstOf(lines <-chan tailJSON) tailJSON {
	p.Helper()
	for {
		p.write(roomA, 1)
		select {
		case e, ok := <-lines:
			if !ok {
				p.Fatal("the tail has ended")
			}
			return e
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// awaitSent waits until all that was written is sent, and returns the last number.
func (p *installation) awaitSent() (last int64) {
	p.Helper()
	for {
		var sent, written int64
		if err := p.conn.QueryRow(p.Context(), `select r.sent_seq, (select count(*) from roomcast.outbox o where o.room = r.room) from roomcast.rooms r where r.room = $1`, roomA).
			Scan(&sent, &written); err != nil {
			p.Fatal(err)
		}
		if sent == written {
			return sent
		}
	}
}
