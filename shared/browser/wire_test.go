package browser_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// wire lies between the pages and Pusher, and can go dead without a sound, as a
// network does when a VPN changes.
type wire struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	dead     *atomic.Bool // of the connections made since the last freeze
	refuse   bool
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &wire{listener: l, target: target, dead: new(atomic.Bool)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(conn)
		}
	}()
	return p
}

func (p *wire) addr() string { return p.listener.Addr().String() }

// freeze keeps every connection there is open, and carries nothing on it any more.
func (p *wire) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead.Store(true)
	p.dead = new(atomic.Bool)
}

// block refuses new connections.
func (p *wire) block(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

func (p *wire) carry(near net.Conn) {
	defer near.Close()
	p.mu.Lock()
	dead, refuse := p.dead, p.refuse
	p.mu.Unlock()
	far, err := net.Dial("tcp", p.target)
	if err != nil || refuse {
		return
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(mute{far, dead}, near)
		far.Close()
	}()
	_, _ = io.Copy(mute{near, dead}, far)
}

// mute swallows what is written once it is dead.
type mute struct {
	to   io.Writer
	dead *atomic.Bool
}

func (m mute) Write(p []byte) (int, error) {
	if m.dead.Load() {
		return len(p), nil
	}
	return m.to.Write(p)
}
