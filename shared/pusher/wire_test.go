package pusher

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// script is a server whose n-th connection is served by the n-th function.
func script(t *testing.T, change func(*Config), serve ...func(*bufio.Reader, net.Conn)) (c *Client, dialled *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dialled = new(atomic.Int32)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n := int(dialled.Add(1))
			if n > len(serve) {
				_ = conn.Close()
				continue
			}
			open.Go(func() {
				defer conn.Close()
				serve[n-1](bufio.NewReader(conn), conn)
			})
		}
	})
	c = against(t, nil, func(cfg *Config) {
		cfg.Host = listener.Addr().String()
		if change != nil {
			change(cfg)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		c.CloseIdle()
		open.Wait()
	})
	return c, dialled
}

// hear reads one request, false when there is none.
func hear(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// saying answers each request with these, one after another, and then closes.
func saying(answers ...string) func(*bufio.Reader, net.Conn) {
	return func(r *bufio.Reader, conn net.Conn) {
		for _, answer := range answers {
			if !hear(r) {
				return
			}
			_, _ = io.WriteString(conn, answer)
		}
	}
}

const accepts = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// What the server closed while it waited costs no error: the request goes over a new
// connection at once.
func TestAConnectionClosedWhileIdleIsReplaced(t *testing.T) {
	c, dialled := script(t, nil, saying(accepts), saying(accepts, accepts))
	for n := range 3 {
		if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
			t.Errorf("call %d: %v", n+1, err)
		}
	}
	if n := dialled.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// A new connection that ends without an answer is an error at once, and so is one that
// ends within the answer: what came of the request is not known then.
func TestOnlyAReusedConnectionIsTriedAgain(t *testing.T) {
	for name, serve := range map[string][]func(*bufio.Reader, net.Conn){
		"new":    {saying(""), saying(accepts)},
		"within": {saying(accepts, "HTTP/1.1 20"), saying(accepts)},
		"twice":  {saying(accepts), saying("")},
	} {
		c, dialled := script(t, nil, serve...)
		want := int32(1)
		if name != "new" {
			if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
				t.Fatal(err)
			}
		}
		if name == "twice" {
			want = 2
		}
		if err := c.PublishBatch(t.Context(), oneEvent()); Classify(err) != TryLater {
			t.Errorf("%s: %v", name, err)
		}
		if n := dialled.Load(); n != want {
			t.Errorf("%s: %d connections, want %d", name, n, want)
		}
	}
}

// While a machine is suspended its connections die without a word, and nothing but the wall
// clock tells: none is used that waited for longer than idleTimeout.
func TestAfterSleepNoConnectionIsTrusted(t *testing.T) {
	silent := func(r *bufio.Reader, conn net.Conn) {
		saying(accepts)(r, conn)
		_, _ = io.Copy(io.Discard, r) // until the client closes it
	}
	c, dialled := script(t, nil, silent, saying(accepts))
	slept := time.Duration(0)
	c.wire.(*direct).now = func() time.Time { return time.Now().Add(slept) }
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if err := c.PublishBatch(ctx, oneEvent()); err != nil {
			t.Error(err)
		}
		cancel()
		slept = time.Hour
	}
	if n := dialled.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	ended := make(chan struct{})
	c, _ := script(t, nil, func(r *bufio.Reader, conn net.Conn) {
		saying(accepts)(r, conn)
		_, _ = r.ReadByte() // io.EOF when the client closes
		close(ended)
	})
	if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
		t.Fatal(err)
	}
	d := c.wire.(*direct)
	d.reapIdle()
	if len(d.idle) != 1 {
		t.Fatal("a connection in use a moment ago was closed")
	}
	d.now = func() time.Time { return time.Now().Add(idleTimeout) }
	d.reapIdle()
	<-ended
	if len(d.idle) != 0 || d.reap != nil {
		t.Errorf("%d wait, timer %v", len(d.idle), d.reap)
	}
}

// Answers of every form that HTTP/1.1 has, and which of them leave the connection usable.
func TestFormsOfAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		class  Class
		keeps  bool
	}{
		"length":         {accepts, Accepted, true},
		"chunked":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", Accepted, true},
		"early hints":    {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + accepts, Accepted, true},
		"no content":     {"HTTP/1.1 204 No Content\r\n\r\n", Accepted, true},
		"close":          {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", Accepted, false},
		"HTTP/1.0":       {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", Accepted, false},
		"more than said": {accepts + "HTTP/1.1 500 No\r\n\r\n", Accepted, false},
		"cut short":      {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", Accepted, false},
		"endless head":   {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 3*maxAnswer) + "\r\nContent-Length: 2\r\n\r\n{}", TryLater, false},
		"refused":        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", Refused, true},
	} {
		answers := []string{tc.answer}
		if tc.keeps {
			answers = append(answers, accepts)
		}
		c, dialled := script(t, nil, saying(answers...), saying(accepts))
		if err := c.PublishBatch(t.Context(), oneEvent()); Classify(err) != tc.class {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
			t.Errorf("%s: the next call: %v", name, err)
		}
		if n := dialled.Load(); (n == 1) != tc.keeps {
			t.Errorf("%s: %d connections", name, n)
		}
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("spoke %s", r.Proto)
		}
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(server.Close)
	c := against(t, nil, func(cfg *Config) { cfg.Host, cfg.TLS = server.Listener.Addr().String(), true })
	var unknown x509.UnknownAuthorityError
	if err := c.PublishBatch(t.Context(), oneEvent()); !errors.As(err, &unknown) {
		t.Errorf("a server nobody vouches for: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c.wire.(*direct).tls.RootCAs = roots
	for range 2 {
		if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
			t.Error(err)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, tc := range []struct {
		host        string
		tls         bool
		dials, name string
	}{
		{"api-eu.pusher.com", true, "api-eu.pusher.com:443", "api-eu.pusher.com"},
		{"api-eu.pusher.com", false, "api-eu.pusher.com:80", ""},
		{"localhost:6001", true, "localhost:6001", "localhost"},
		{"[::1]:6001", true, "[::1]:6001", "::1"},
		{"[::1]", false, "[::1]:80", ""},
	} {
		d := newDirect(tc.host, tc.tls, 1)
		if d.address != tc.dials || (d.tls != nil) != tc.tls || tc.tls && d.tls.ServerName != tc.name {
			t.Errorf("%+v: %+v", tc, d)
		}
	}
}

func TestThroughAProxy(t *testing.T) {
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Host
		if body, err := io.ReadAll(r.Body); err != nil || !strings.HasPrefix(string(body), `{"batch":`) {
			t.Errorf("%q, %v", body, err)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := against(t, nil, func(cfg *Config) { cfg.Host = "pusher.invalid" })
	c.wire = newProxied("http", http.ProxyURL(at), 2)
	var answer *Error
	if err := c.PublishBatch(t.Context(), oneEvent()); !errors.As(err, &answer) || answer.Status != 503 || asked != "pusher.invalid" {
		t.Errorf("asked for %q: %v", asked, err)
	}
}

// Beside each other: the pool of this package and net/http's transport.
func BenchmarkExchange(b *testing.B) {
	for name, wrap := range map[string]func(*Client){
		"direct":   func(*Client) {},
		"net-http": func(c *Client) { c.wire = newProxied("http", nil, 64) },
	} {
		b.Run(name, func(b *testing.B) {
			c := against(b, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = w.Write([]byte("{}"))
			})
			wrap(c)
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := c.PublishBatch(b.Context(), oneEvent()); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
