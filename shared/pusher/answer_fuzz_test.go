package pusher

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// canned is a connection whose other end has sent its answer already.
type canned struct {
	net.Conn
	answer io.Reader
}

func (c canned) Read(p []byte) (int, error)  { return c.answer.Read(p) }
func (c canned) Write(p []byte) (int, error) { return len(p), nil }

// FuzzAnswer: whatever the other end of a connection to Pusher sends is an error or an
// answer, of bounded size, and what an operator is told of it is one bounded line.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 x\r\nRetry-After: 99999999999\r\nDate: Sun, 22 Nov 2026 20:27:53 GMT\r\n\r\nno\x1b[2J"))
	f.Add([]byte("HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 204\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"))
	const secret = "the-secret-of-the-app"
	c := &Client{cfg: Config{Secret: secret, Now: time.Now}}
	f.Fuzz(func(t *testing.T, sent []byte) {
		raw := canned{answer: bytes.NewReader(sent)}
		link := &conn{Conn: raw, limit: io.LimitedReader{R: raw}}
		link.reader = bufio.NewReader(&link.limit)
		a, more, err := link.exchange(nil)
		if err != nil {
			return
		}
		if len(a.body) > maxAnswer || a.status < 0 || a.status > 999 {
			t.Fatalf("status %d, %d bytes", a.status, len(a.body))
		}
		if more && link.reader.Buffered() > 0 {
			t.Fatal("a connection with half of another answer is used again")
		}
		said := c.answerError("publish", a, time.Now())
		if said.RetryAfter < 0 || said.RetryAfter > maxRetryAfter {
			t.Fatalf("wait %v", said.RetryAfter)
		}
		if text := said.Error(); len(text) > maxReason+60 || strings.ContainsAny(text, "\r\n\x1b\x00") || strings.Contains(text, secret) {
			t.Fatalf("told %q", text)
		}
	})
}
