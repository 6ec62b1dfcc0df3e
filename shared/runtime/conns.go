package runtime

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// conns is a listener with a limit on connections, which knows what each has shown.
//
// A connection is a stranger's until one of its requests has shown a credential
// ([Working]). At the limit a new connection replaces an old one: the oldest stranger's if
// strangers have more than half of all places, else the one whose last credential is the
// oldest. So silent or slow connections keep nobody out. Each connection keeps its place
// for placeFor at least, long enough to serve a request that arrives at once; while all are
// younger, new connections wait in the kernel's queue. That is how many clients that
// reconnect together are all served.
//
// Unless connections come from proxies, an address with more than a quarter of all places
// loses its own connections first, and does not wait.
type conns struct {
	net.Listener
	limit   int
	idle    *idle // nil: its requests are no work
	proxied bool  // addresses are proxies'

	mu        sync.Mutex
	strangers *list.List         // of *conn, the oldest first
	known     *list.List         // of *conn, the longest without a credential first
	from      map[netip.Addr]int // connections by address
	working   int
	freed     chan struct{} // signalled when a connection closes
}

// placeFor is how long a connection keeps its place at least.
const placeFor = 250 * time.Millisecond

func newConns(l net.Listener, limit int, idle *idle) *conns {
	return &conns{
		Listener: l, limit: limit, idle: idle,
		strangers: list.New(), known: list.New(), from: make(map[netip.Addr]int), freed: make(chan struct{}, 1),
	}
}

// conn is one connection. Its server handles one request at a time.
type conn struct {
	net.Conn
	all     *conns
	address netip.Addr

	// Of the request being read: net/http reads in one goroutine at a time.
	head   head
	behind []byte // was read with it, and follows it

	// Guarded by all.mu.
	in      *list.List // nil once closed
	at      *list.Element
	since   time.Time // accepted, or shown a credential
	working bool      // a request that has shown a credential is being served
}

// Accept makes room for the connection that it returns.
func (cs *conns) Accept() (net.Conn, error) {
	for {
		accepted, err := cs.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, all: cs}
		if tcp, ok := accepted.RemoteAddr().(*net.TCPAddr); ok {
			c.address = tcp.AddrPort().Addr().Unmap()
		}
		if cs.seat(c) {
			return c, nil
		}
		_ = accepted.Close()
	}
}

// seat waits for a place; false if this address gets none.
func (cs *conns) seat(c *conn) bool {
	for {
		wait, refused := cs.place(c)
		if refused || wait <= 0 {
			return !refused
		}
		select {
		case <-cs.freed:
		case <-time.After(wait):
		}
	}
}

// place gives c a place, or returns how long to wait for one, or that its address gets
// none.
func (cs *conns) place(c *conn) (wait time.Duration, refused bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	now := time.Now()
	if cs.strangers.Len()+cs.known.Len() >= cs.limit {
		victim, crowded := cs.crowded(c.address)
		if victim == nil {
			victim = cs.victim()
		}
		wait = placeFor - now.Sub(victim.since)
		switch own := victim.address == c.address; {
		case crowded && own && wait > 0:
			return 0, true
		case !crowded && wait > 0:
			return wait, false
		}
		victim.remove()
		_ = victim.Conn.Close() // its server finds out by reading
	}
	c.since, c.in, c.at = now, cs.strangers, cs.strangers.PushBack(c)
	cs.from[c.address]++
	return 0, false
}

// crowded finds a connection to close of an address that has more than its share, the
// newcomer's own address if it is one. It is called with mu held.
func (cs *conns) crowded(newcomer netip.Addr) (victim *conn, crowded bool) {
	if cs.proxied {
		return nil, false
	}
	share := cs.limit / 4
	own := cs.from[newcomer] > share
	for _, of := range []*list.List{cs.strangers, cs.known} {
		for at := of.Front(); at != nil; at = at.Next() {
			c := at.Value.(*conn)
			if own && c.address == newcomer || !own && cs.from[c.address] > share {
				return c, true
			}
		}
	}
	return nil, false
}

// victim is the connection to close for a new one. It is called with mu held and at least
// one connection present.
func (cs *conns) victim() *conn {
	from := cs.known
	if cs.strangers.Len() > cs.limit/2 || from.Len() == 0 {
		from = cs.strangers
	}
	return from.Front().Value.(*conn)
}

// remove is called with mu held. It may be called again.
func (c *conn) remove() {
	if c.in == nil {
		return
	}
	c.in.Remove(c.at)
	c.in = nil
	if c.all.from[c.address]--; c.all.from[c.address] == 0 {
		delete(c.all.from, c.address)
	}
	select {
	case c.all.freed <- struct{}{}:
	default:
	}
}

// state is a http.Server's ConnState: behind an answer comes the next head.
func (cs *conns) state(nc net.Conn, state http.ConnState) {
	if c, ok := nc.(*conn); ok && state == http.StateIdle {
		c.head = head{}
	}
}

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	c.all.mu.Lock()
	c.remove()
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// connKey is where a request's context keeps its connection.
type connKey struct{}

// context is a http.Server's ConnContext.
func (cs *conns) context(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}

// Working marks the request of this context as work, because it has shown a credential:
// until it is answered the process does not exit as idle, and a shutdown waits for it.
// Other requests do neither. Without a server of this package, as on Lambda, it does
// nothing.
func Working(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.begin()
	}
}

func (c *conn) begin() {
	cs := c.all
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.in != nil {
		c.in.Remove(c.at)
		c.since, c.in, c.at = time.Now(), cs.known, cs.known.PushBack(c)
	}
	if !c.working {
		c.working = true
		cs.working++
		if cs.idle != nil {
			cs.idle.begin()
		}
	}
}

func (c *conn) end() {
	cs := c.all
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if c.working {
		c.working = false
		cs.working--
		if cs.idle != nil {
			cs.idle.end()
		}
	}
}

// track ends the work of each request when it has been answered.
func (cs *conns) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			defer c.end()
		}
		next.ServeHTTP(w, r)
	})
}

// atWork is the number of requests marked as work that are being served.
func (cs *conns) atWork() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.working
}

// closeOthers closes every connection without such a request.
func (cs *conns) closeOthers() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, of := range []*list.List{cs.strangers, cs.known} {
		for at := of.Front(); at != nil; {
			c := at.Value.(*conn)
			at = at.Next()
			if !c.working {
				c.remove()
				_ = c.Conn.Close()
			}
		}
	}
}
