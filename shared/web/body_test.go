package web_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"roomcast/shared/web"
)

// statusOf is the status err would be answered with; 0 for none.
func statusOf(err error) int {
	var e *web.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// lengthless hides a reader's length, so that the request is chunked.
type lengthless struct{ io.Reader }

func TestBody(t *testing.T) {
	const limit = 10
	for _, tc := range []struct {
		name   string
		body   io.Reader
		want   string
		status int
	}{
		{"empty", strings.NewReader(""), "", 0},
		{"at the limit", strings.NewReader("0123456789"), "0123456789", 0},
		{"at the limit, chunked", lengthless{strings.NewReader("0123456789")}, "0123456789", 0},
		{"one more", strings.NewReader("01234567890"), "", 413},
		{"one more, chunked", lengthless{strings.NewReader("01234567890")}, "", 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", tc.body)
			got, err := web.Body(httptest.NewRecorder(), r, limit)
			if string(got) != tc.want || statusOf(err) != tc.status || (err != nil) != (tc.status != 0) {
				t.Errorf("got %q, %v, want %q, status %d", got, err, tc.want, tc.status)
			}
			if tc.status == 413 && !strings.Contains(err.Error(), "larger than 10 bytes") {
				t.Errorf("no reason in %v", err)
			}
		})
	}
}

// readCounter says how much of a body was read.
type readCounter struct {
	n int
	r io.Reader
}

func (c *readCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

func TestTooLargeBodyIsNotReadFar(t *testing.T) {
	declared := &readCounter{r: bytes.NewReader(make([]byte, 2<<20))}
	r := httptest.NewRequest("POST", "/", declared)
	r.ContentLength = 2 << 20
	if _, err := web.Body(httptest.NewRecorder(), r, 1<<10); statusOf(err) != 413 || declared.n != 0 {
		t.Errorf("declared: %v after %d bytes", err, declared.n)
	}
	chunked := &readCounter{r: bytes.NewReader(make([]byte, 2<<20))}
	r = httptest.NewRequest("POST", "/", chunked)
	if _, err := web.Body(httptest.NewRecorder(), r, 1<<10); statusOf(err) != 413 || chunked.n > 64<<10 {
		t.Errorf("chunked: %v after %d bytes", err, chunked.n)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestBodyThatDoesNotArrive(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		reason string
	}{
		{io.ErrUnexpectedEOF, 400, "ends before its declared length"},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), 408, "took too long"},
		{errors.New("malformed chunk"), 400, "unreadable"},
	} {
		r := httptest.NewRequest("POST", "/", failing{tc.err})
		_, err := web.Body(httptest.NewRecorder(), r, 10)
		if statusOf(err) != tc.status || !strings.Contains(err.Error(), tc.reason) {
			t.Errorf("%v became %v", tc.err, err)
		}
	}
}

// A route's bodies have their time: who sends half of one and no more is answered then, and
// not when the connection ends.
func TestBodyHasItsTime(t *testing.T) {
	budget := web.NewBudget(1<<20, 1, func(*http.Request) string { return "" })
	srv := httptest.NewServer(web.Handle(slog.New(slog.DiscardHandler), "POST /", func(w http.ResponseWriter, r *http.Request) error {
		_, err := web.Body(w, r, 100)
		return err
	}, web.Bodies(budget, 20*time.Millisecond)))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfour")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusRequestTimeout {
		t.Errorf("half a body: %v, %v", answer, err)
	}
}

// A real connection that promises ten bytes, sends four and waits for the answer.
func TestTruncatedBodyIsAnswered(t *testing.T) {
	srv := httptest.NewServer(web.Handle(slog.New(slog.DiscardHandler), "POST /", func(w http.ResponseWriter, r *http.Request) error {
		_, err := web.Body(w, r, 100)
		return err
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfour")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 400 || !strings.Contains(text(t, res), `"field":"body"`) {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestRequireType(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, tc := range []struct {
		header, encoding string
		json, form       bool
	}{
		{"application/json", "", true, false},
		{"Application/JSON; charset=UTF-8", "", true, false},
		{"application/json; charset=latin1", "", false, false},
		{"application/json", "identity", true, false},
		{"application/json", "gzip", false, false},
		{form, "", false, true},
		{form + "; charset=utf-8", "", false, true},
		{"text/plain", "", false, false},
		{"", "", false, false},
		{"application/json;;;=", "", false, false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Content-Type", tc.header)
		r.Header.Set("Content-Encoding", tc.encoding)
		for what, pair := range map[string]struct {
			err error
			ok  bool
		}{"json": {web.RequireJSON(r), tc.json}, "form": {web.RequireType(r, form), tc.form}} {
			if (pair.err == nil) != pair.ok || !pair.ok && statusOf(pair.err) != 415 {
				t.Errorf("%q %q as %s: %v, want ok %v", tc.header, tc.encoding, what, pair.err, pair.ok)
			}
		}
	}
}
