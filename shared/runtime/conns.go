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

// conns is a listener that bounds its connections and knows which of them are at work.
//
// A connection is a stranger's until a request on it has shown a credential ([Working]).
// At the limit a new connection takes the place of an old one: strangers may have half
// of all places, and lose the oldest; beyond that the connection goes whose last
// credential is the longest ago. So neither who opens connections and says nothing, nor
// who says it slowly, keeps anybody out. Each keeps its place for a moment, though, in
// which a request that comes at once is served: while all places are that young, the
// next connections wait in the kernel's queue, as a crowd that comes back together does.
//
// Where callers connect themselves, and no proxy does for all of them, an address with
// more than a quarter of all places loses its own first, and waits for nobody.
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
	freed     chan struct{} // a place was given up
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

// seat waits for a place; false if there is none for this address.
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

// place gives c a place, or says how long until one can be had, or that there is none for
// this address.
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

// crowded finds a connection of an address that has more than its share, the newcomer's
// own if that is one: the oldest stranger, or the longest without a credential. It is
// called with mu held.
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

// victim is the connection that has to go. It is called with mu held, and at least one
// connection there.
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

// Close closes the connection and gives up its place.
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

// Working says that the request of this context has shown a credential, and so is work:
// from now until it is answered it keeps the process from leaving as idle, and its
// connection from being closed on the way out. Whatever else strangers ask does neither.
// Outside of a server of this package, as on Lambda, it does nothing.
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

// track ends the work of each request of next that has become some.
func (cs *conns) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			defer c.end()
		}
		next.ServeHTTP(w, r)
	})
}

// atWork is how many requests that have shown a credential are being served.
func (cs *conns) atWork() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.working
}

// closeOthers closes every connection that is not at work.
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
