package pusher

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxAnswer   = 64 << 10         // bytes read of any answer's head, and of its body
	idleTimeout = 30 * time.Second // shorter than the load balancers' in front of Pusher
	dialTimeout = 3 * time.Second
)

// wire sends one HTTP/1.1 request, written out, and reads the answer, at most 64 KiB of it.
type wire interface {
	exchange(ctx context.Context, request []byte) (answer, error)
	closeIdle()
}

// answer is a response of any status.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// direct is a pool of HTTP/1.1 connections to one address. net/http's transport hands each
// request and each answer to another goroutine, which costs more than writing a batch; here
// the caller's own goroutine writes and reads. HTTP/2 would put all workers on one
// connection, and have them stall together when it is dead.
type direct struct {
	address string
	tls     *tls.Config   // nil for http
	slots   chan struct{} // holds one for each connection in use
	now     func() time.Time

	mu   sync.Mutex
	idle []*conn // the one used last is the last
	reap *time.Timer
}

// conn is one connection, used by one call at a time.
type conn struct {
	net.Conn
	limit  io.LimitedReader
	reader *bufio.Reader
	reused bool
	since  time.Time // when it became idle, by the wall clock
}

func newDirect(address string, useTLS bool, conns int) *direct {
	d := &direct{address: address, slots: make(chan struct{}, conns), now: time.Now}
	host, _, err := net.SplitHostPort(address)
	if err != nil { // without a port
		host = strings.Trim(address, "[]")
		d.address = net.JoinHostPort(host, map[bool]string{true: "443", false: "80"}[useTLS])
	}
	if useTLS {
		// Resumed sessions save a round trip when a machine wakes.
		d.tls = &tls.Config{ServerName: host, NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	}
	return d
}

// exchange sends the request again, once, over a new connection, when a reused one ended
// before the first byte of an answer: the server closed it while it was idle.
func (d *direct) exchange(ctx context.Context, request []byte) (answer, error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	defer func() { <-d.slots }()
	if c := d.take(); c != nil {
		a, err := d.use(ctx, c, request)
		if err == nil || ctx.Err() != nil || !errors.Is(err, errEndedIdle) {
			return a, err
		}
		d.closeIdle() // those beside it have waited as long
	}
	c, err := d.dial(ctx)
	if err != nil {
		return answer{}, err
	}
	return d.use(ctx, c, request)
}

// errEndedIdle is a reused connection that ended without any byte of an answer.
var errEndedIdle = errors.New("connection closed while idle")

// use makes one exchange over the connection, and keeps or closes it.
func (d *direct) use(ctx context.Context, c *conn, request []byte) (answer, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	a, more, err := c.exchange(request)
	if stop() && err == nil && more {
		d.put(c)
	} else {
		_ = c.Close()
	}
	return a, err
}

// exchange reports also whether the connection can carry more.
func (c *conn) exchange(request []byte) (a answer, more bool, err error) {
	c.limit.N = 2 * maxAnswer
	_, err = c.Write(request)
	if err == nil {
		_, err = c.reader.Peek(1)
	}
	if err != nil {
		if c.reused {
			err = errors.Join(errEndedIdle, err)
		}
		return answer{}, false, err
	}
	resp, err := http.ReadResponse(c.reader, nil)
	for err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(c.reader, nil)
	}
	if err != nil {
		return answer{}, false, err
	}
	// A body cut short changes nothing: the status is known.
	a = answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	whole := err == nil && len(a.body) < maxAnswer && c.reader.Buffered() == 0
	return a, whole && !resp.Close, nil
}

// take returns a connection that waits, nil for none. One that is idle for too long is
// closed, with those that wait for longer still. The wall clock tells: while a machine is
// suspended the monotonic one stands still, and so does the timer of put.
func (d *direct) take() *conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.idle) - 1
	if n < 0 {
		return nil
	}
	c := d.idle[n]
	if age := d.now().Round(0).Sub(c.since); age > idleTimeout || age < -time.Second {
		d.closeAll()
		return nil
	}
	d.idle = d.idle[:n]
	c.reused = true
	return c
}

func (d *direct) put(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.since = d.now().Round(0)
	d.idle = append(d.idle, c)
	if d.reap == nil {
		d.reap = time.AfterFunc(idleTimeout, d.reapIdle)
	}
}

// reapIdle closes what nobody has used for idleTimeout.
func (d *direct) reapIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.idle) && d.now().Round(0).Sub(d.idle[n].since) >= idleTimeout {
		_ = d.idle[n].Close()
		n++
	}
	d.idle = append(d.idle[:0], d.idle[n:]...)
	if d.reap = nil; len(d.idle) > 0 {
		d.reap = time.AfterFunc(idleTimeout, d.reapIdle)
	}
}

func (d *direct) closeIdle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closeAll()
}

func (d *direct) closeAll() {
	for _, c := range d.idle {
		_ = c.Close()
	}
	d.idle = d.idle[:0]
}

func (d *direct) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		secure := tls.Client(raw, d.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		raw = secure
	}
	c := &conn{Conn: raw, limit: io.LimitedReader{R: raw}}
	c.reader = bufio.NewReaderSize(&c.limit, 2<<10)
	return c, nil
}
