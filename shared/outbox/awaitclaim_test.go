package outbox_test

import (
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"roomcast/shared/outbox"
	"roomcast/shared/outbox/outboxtest"
)

var someRows = outbox.Limits{Rows: 100, PerRoom: 100, Lease: time.Minute}

// What is committed while a relay waits comes with the answer, under lease.
func TestAwaitClaim(t *testing.T) {
	c := newChat(t)
	if rooms, err := c.DB.AwaitClaim(t.Context(), 3*time.Millisecond, time.Millisecond, "r", someRows); err != nil || len(rooms) != 0 {
		t.Errorf("nothing waits, but the answer is %v, %v", rooms, err)
	}
	type answer struct {
		rooms []outbox.Room
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		rooms, err := c.DB.AwaitClaim(c.Context(), time.Minute, time.Millisecond, "r", someRows)
		answered <- answer{rooms, err}
	}()
	c.Exec(insertMessage, roomA, user1, "hello")
	a := <-answered
	if a.err != nil || len(a.rooms) != 1 || len(a.rooms[0].Rows) != 1 || a.rooms[0].Fence == 0 {
		t.Errorf("got %+v, %v", a.rooms, a.err)
	}
}

// A relay that has ended claims nothing: its backend ends within a moment, and what is
// written then is free for others.
func TestADeadRelayClaimsNothing(t *testing.T) {
	c := newChat(t)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	address, vanish := once(t, u.Host)
	u.Host = address
	dead := outboxtest.Open(t, u.String())
	ended := make(chan error, 1)
	go func() {
		_, err := dead.AwaitClaim(t.Context(), time.Minute, time.Millisecond, "dead", someRows)
		ended <- err
	}()
	const waiting = `select count(*) from pg_stat_activity where datname = current_database() and query like '%await_rows%' and pid <> pg_backend_pid()`
	within := time.Now().Add(time.Minute)
	for outboxtest.One[int](c.Fixture, waiting) == 0 && time.Now().Before(within) {
	}
	vanish() // a process that ends says nothing else than this
	if err := <-ended; err == nil {
		t.Fatal("it got an answer")
	}
	for outboxtest.One[int](c.Fixture, waiting) > 0 {
		if time.Now().After(within) {
			t.Fatal("the backend waits on for nobody")
		}
	}
	c.Exec(insertMessage, roomA, user1, "hello")
	if rooms := c.Claim("r"); len(rooms) != 1 {
		t.Errorf("claimed %v", rooms)
	}
}

// once passes one connection on, and no second one, until vanish ends it.
func once(t *testing.T, server string) (address string, vanish func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ends := make(chan [2]net.Conn, 1)
	go func() {
		near, err := listener.Accept()
		_ = listener.Close()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", server)
		if err != nil {
			t.Error(err)
			return
		}
		ends <- [2]net.Conn{near, far}
		go func() { _, _ = io.Copy(near, far) }()
		_, _ = io.Copy(far, near)
	}()
	return listener.Addr().String(), func() {
		for _, end := range <-ends {
			_ = end.Close()
		}
	}
}
