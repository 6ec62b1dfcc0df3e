package runtime

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections come from a test.
type pipes struct {
	net.Listener
	next chan net.Conn
}

func (p *pipes) Accept() (net.Conn, error) { return <-p.next, nil }

// accept gives cs a connection and returns both of its ends.
func accept(t *testing.T, cs *conns) (server *conn, client net.Conn) {
	t.Helper()
	client, inner := net.Pipe()
	go func() { cs.Listener.(*pipes).next <- inner }()
	accepted, err := cs.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return accepted.(*conn), client
}

func isClosed(client net.Conn) bool {
	_ = client.SetReadDeadline(time.Now().Add(-time.Second))
	_, err := client.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestConnectionsMakeRoom(t *testing.T) { synctest.Test(t, connectionsMakeRoom) }

func connectionsMakeRoom(t *testing.T) {
	cs := newConns(&pipes{next: make(chan net.Conn, 1)}, 4, nil)
	cs.proxied = true
	known := make([]*conn, 3)
	clients := make([]net.Conn, 3)
	for i := range known {
		known[i], clients[i] = accept(t, cs)
		known[i].begin()
		known[i].end()
	}
	known[0].begin() // it has shown a credential again, and is at work
	_, stranger := accept(t, cs)
	start := time.Now()
	_, second := accept(t, cs) // in place of the known one that was silent for longest
	if waited := time.Since(start); waited != placeFor {
		t.Errorf("the place was free after %v, want %v", waited, placeFor)
	}
	if isClosed(clients[0]) || !isClosed(clients[1]) || isClosed(clients[2]) || isClosed(stranger) {
		t.Error("the second stranger did not take the place of the known connection that was silent for longest")
	}
	_, third := accept(t, cs)
	if !isClosed(clients[2]) || isClosed(stranger) || isClosed(clients[0]) {
		t.Error("the third stranger did not take the place of the other silent one")
	}
	accept(t, cs) // strangers have half of the places and more: the oldest of them goes
	if !isClosed(stranger) || isClosed(second) || isClosed(third) || isClosed(clients[0]) {
		t.Error("the fourth stranger did not take the place of the first")
	}
	if n := cs.strangers.Len() + cs.known.Len(); n != 4 {
		t.Errorf("%d connections are counted, want 4", n)
	}
	_ = known[0].Close()
	_ = known[0].Close() // net/http may close twice
	if n := cs.strangers.Len() + cs.known.Len(); n != 3 {
		t.Errorf("%d connections are counted after one was closed, want 3", n)
	}
}

// from is a connection from an address.
type from struct {
	net.Conn
	address string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.address + ":1"))
}

// One address that opens more connections than there are places for keeps out itself.
func TestOneAddressKeepsOutItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{next: make(chan net.Conn, 20)}
		cs := newConns(listener, 8, nil)
		var flood []net.Conn
		for range 9 {
			client, inner := net.Pipe()
			flood = append(flood, client)
			listener.next <- from{inner, "203.0.113.7"}
		}
		client, inner := net.Pipe()
		listener.next <- from{inner, "203.0.113.8"}
		start := time.Now()
		for accepted := ""; accepted != "203.0.113.8:1"; {
			c, err := cs.Accept()
			if err != nil {
				t.Fatal(err)
			}
			accepted = c.RemoteAddr().String()
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("another address waited %v for its place", waited)
		}
		if !isClosed(flood[8]) || !isClosed(flood[0]) || isClosed(flood[1]) || isClosed(client) {
			t.Error("the ninth connection of one address and its oldest should have gone, and no others")
		}
	})
}

// A crowd that comes back together waits for its turn, and is served whole.
func TestACrowdIsServedWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cs := newConns(&pipes{next: make(chan net.Conn)}, 4, nil)
		cs.proxied = true
		var served atomic.Int32
		for range 20 {
			c, client := accept(t, cs)
			time.AfterFunc(10*time.Millisecond, func() { // its request is answered
				if !isClosed(client) {
					served.Add(1)
				}
				_ = c.Close()
			})
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if served.Load() != 20 {
			t.Errorf("%d of 20 were served", served.Load())
		}
	})
}

// A client that has shown nothing cannot hold up the way out, nor make an error of it: on Fly
// that would start the machine again.
func TestStrangersDoNotHoldUpTheWayOut(t *testing.T) {
	entered := make(chan struct{}, 1)
	rn := start(t, t.Context(), Config{IdleExit: 100 * time.Millisecond, DrainTimeout: 2 * time.Minute}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-r.Context().Done() // reads no body, so that net/http learns nothing of the connection
	}))
	addr := strings.TrimPrefix(rn.url, "http://")
	for _, sent := range []string{
		"", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nSlow: ",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, sent)
	}
	<-entered
	select {
	case err := <-rn.ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for those who have shown nothing, as for work")
	}
}

// A request that has shown its credential is finished, and its loss is an error.
func TestWorkIsFinishedOnTheWayOut(t *testing.T) {
	entered := make(chan struct{})
	release := make(chan struct{})
	rn := start(t, t.Context(), Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Working(r.Context())
		close(entered)
		<-release
		fmt.Fprint(w, "finished")
	}))
	c, err := net.Dial("tcp", strings.TrimPrefix(rn.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	rn.signals <- syscall.SIGTERM
	awaitRefusal(t, rn.url)
	time.AfterFunc(2*strangersGrace, func() { close(release) }) // past the strangers' time
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
		t.Errorf("answer %q, %v", line, err)
	}
	if err := <-rn.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
