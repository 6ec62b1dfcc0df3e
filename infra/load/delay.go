package main

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"time"
)

// delay is a TCP proxy that holds every byte back for a while, in each direction: a
// network that is far, not one that is narrow.
type delay struct {
	url      string // what it stands before, by the proxy's address
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	done     sync.WaitGroup
}

// delayed puts a proxy before the server of a URL.
func delayed(target string, each time.Duration) (*delay, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, errors.New("URL cannot be parsed") // the error would repeat the password
	}
	address := u.Host
	d := &delay{}
	if d.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	u.Host = d.listener.Addr().String()
	d.url = u.String()
	d.done.Go(func() {
		for {
			near, err := d.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				_ = near.Close()
				continue
			}
			d.mu.Lock()
			d.conns = append(d.conns, near, far)
			d.mu.Unlock()
			d.done.Go(func() { copyLate(far, near, each) })
			d.done.Go(func() { copyLate(near, far, each) })
		}
	})
	return d, nil
}

// copyLate copies until either end closes. Bytes that wait do not keep later ones from
// being read, so the delay is the same for all.
func copyLate(to, from net.Conn, each time.Duration) {
	type piece struct {
		due   time.Time
		bytes []byte
	}
	waiting := make(chan piece, 1024)
	go func() {
		defer close(waiting)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if n > 0 {
				waiting <- piece{time.Now().Add(each), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range waiting {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			_ = from.Close()
		}
	}
	_ = to.(io.Closer).Close()
}

// close ends all connections and waits until nothing copies any more.
func (d *delay) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.mu.Unlock()
	d.done.Wait()
}
