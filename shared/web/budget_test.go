package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"roomcast/shared/web"
)

func byHeader(r *http.Request) string { return r.Header.Get("Caller") }

// post runs one request through a route and returns the answer.
func post(h http.Handler, caller string, body io.Reader) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/", body)
	r.Header.Set("Caller", caller)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A body is paid for as it comes, and the payment is returned when its request is done. A
// caller has a quarter of what the others leave, so that none are kept out by however many;
// and a small body costs nothing.
func TestBodiesShareABudget(t *testing.T) {
	const kB, free = 1 << 10, 2 << 10
	arrived, finish := make(chan struct{}), make(chan struct{})
	h := web.Handle(slog.New(slog.DiscardHandler), "POST /", func(w http.ResponseWriter, r *http.Request) error {
		_, err := web.Body(w, r, 1<<20)
		if err == nil && r.Header.Get("Wait") != "" {
			arrived <- struct{}{}
			<-finish
		}
		return err
	}, web.Bodies(web.NewBudget(800*kB, 4, byHeader), time.Second)) // the first caller may have 200 kB, which is 100 kB twice
	body := func(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }
	if w := post(h, "a", body(free+100*kB+1)); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("beyond one caller's share: %d %v", w.Code, w.Header())
	}
	if w := post(h, "a", body(free+100*kB)); w.Code != 200 {
		t.Errorf("the share of one caller: %d", w.Code)
	}
	hold := func(caller string, n int) chan int {
		answer := make(chan int, 1)
		go func() {
			r := httptest.NewRequest("POST", "/", body(n))
			r.Header.Set("Caller", caller)
			r.Header.Set("Wait", "1")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			answer <- w.Code
		}()
		<-arrived
		return answer
	}
	done := []chan int{hold("a", free+100*kB), hold("b", free+75*kB), hold("c", free+56*kB)}
	for i := range 20 {
		done = append(done, hold("d"+strings.Repeat("d", i), free+kB))
	}
	if w := post(h, "e", body(free+50*kB)); w.Code != 503 {
		t.Errorf("beyond a quarter of what the others left: %d", w.Code)
	}
	if w := post(h, "e", body(free+20*kB)); w.Code != 200 {
		t.Errorf("within it: %d", w.Code)
	}
	if w := post(h, "a", body(free)); w.Code != 200 {
		t.Errorf("a small body of who has all they may have: %d", w.Code)
	}
	close(finish)
	for _, answer := range done {
		if code := <-answer; code != 200 {
			t.Errorf("a body within the budget: %d", code)
		}
	}
	if w := post(h, "e", body(free+100*kB)); w.Code != 200 {
		t.Errorf("after the others were done: %d", w.Code)
	}
}

// What a caller says will come takes no memory.
func TestBodyTakesNoRoomForWhatHasNotCome(t *testing.T) {
	grown := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			r := httptest.NewRequest("POST", "/", failing{io.ErrUnexpectedEOF})
			r.ContentLength = 1 << 20
			if _, err := web.Body(httptest.NewRecorder(), r, 1<<20); statusOf(err) != 400 {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if grown > 16<<10 {
		t.Errorf("%d bytes for a body of which nothing came", grown)
	}
}

func TestAnswersShareABudget(t *testing.T) {
	h := web.Handle(slog.New(slog.DiscardHandler), "GET /", func(w http.ResponseWriter, r *http.Request) error {
		return web.WriteJSON(w, 200, strings.Repeat("x", 40<<10))
	}, web.Answers(web.NewBudget(100<<10, 4, byHeader)))
	if w := post(h, "a", nil); w.Code != 503 {
		t.Errorf("an answer beyond the caller's share: %d", w.Code)
	}
	small := web.Handle(slog.New(slog.DiscardHandler), "GET /", func(w http.ResponseWriter, r *http.Request) error {
		return web.WriteJSON(w, 200, "small")
	}, web.Answers(web.NewBudget(1, 1, byHeader)))
	if w := post(small, "a", nil); w.Code != 200 {
		t.Errorf("a small answer: %d", w.Code)
	}
}

// The handler, the body's bytes and the mark of work come behind the credential.
func TestCredentialComesFirst(t *testing.T) {
	var order []string
	body := &readCounter{r: bytes.NewReader(make([]byte, 100))}
	refuse := true
	h := web.Handle(slog.New(slog.DiscardHandler), "POST /", func(w http.ResponseWriter, r *http.Request) error {
		order = append(order, "handler of "+r.Header.Get("User"))
		_, err := web.Body(w, r, 1000)
		return err
	}, web.Credential(func(r *http.Request) (*http.Request, error) {
		order = append(order, "check")
		if refuse {
			return nil, web.Unauthorized("unknown", nil)
		}
		r.Header.Set("User", "u1")
		return r, nil
	}, func(*http.Request) { order = append(order, "work") }), web.Bodies(web.NewBudget(1000, 4, byHeader), time.Second))
	if w := post(h, "a", body); w.Code != 401 || body.n != 0 {
		t.Errorf("refused: %d after %d bytes", w.Code, body.n)
	}
	refuse = false
	if w := post(h, "a", body); w.Code != 200 || body.n != 100 {
		t.Errorf("let through: %d after %d bytes", w.Code, body.n)
	}
	if got := strings.Join(order, ", "); got != "check, check, work, handler of u1" {
		t.Errorf("in the order %s", got)
	}
}

// A refusal is not held back until the caller has sent what he refuses to send.
func TestUnreadBodyClosesTheConnection(t *testing.T) {
	for _, tc := range []struct {
		name  string
		read  bool
		close bool
	}{{"unread", false, true}, {"read", true, false}} {
		srv := httptest.NewServer(web.DropUnread(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if tc.read {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			w.WriteHeader(http.StatusUnauthorized)
		})))
		client := srv.Client()
		client.Timeout = 10 * time.Second
		body, send := io.Pipe()
		go func() {
			if tc.read {
				_, _ = send.Write([]byte("x"))
				_ = send.Close()
			}
		}()
		answer, err := client.Post(srv.URL, "text/plain", body)
		_ = send.Close()
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else {
			if answer.StatusCode != 401 || answer.Close != tc.close {
				t.Errorf("%s: %d, closed %v", tc.name, answer.StatusCode, answer.Close)
			}
			_ = answer.Body.Close()
		}
		srv.Close()
	}
}

// A caller who reads slowly holds no turn: it ends when the answer begins.
func TestTurnsEndWhenTheAnswerBegins(t *testing.T) {
	turns := web.NewTurns(1)
	answers := []func(w http.ResponseWriter) error{
		func(w http.ResponseWriter) error { return web.WriteJSON(w, http.StatusOK, "x") },
		func(w http.ResponseWriter) error { _, err := w.Write([]byte("x")); return err },
	}
	for i, answer := range answers {
		h := web.Handle(slog.New(slog.DiscardHandler), "GET /", func(w http.ResponseWriter, _ *http.Request) error { return answer(w) },
			web.InTurn(turns, func(*http.Request) string { return "slow" }))
		slow := &slowReader{ResponseRecorder: httptest.NewRecorder(), begun: make(chan struct{}), read: make(chan struct{})}
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.ServeHTTP(slow, httptest.NewRequest("GET", "/", nil))
		}()
		<-slow.begun
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if leave, err := turns.Enter(ctx, "another"); err != nil {
			t.Errorf("answer %d holds its turn until it is read: %v", i, err)
		} else {
			leave()
		}
		cancel()
		close(slow.read)
		<-done
	}
}

// slowReader is a client that reads nothing until it is told to.
type slowReader struct {
	*httptest.ResponseRecorder
	begun, read chan struct{}
}

func (s *slowReader) Write(p []byte) (int, error) {
	close(s.begun)
	<-s.read
	return s.ResponseRecorder.Write(p)
}

// A GET has no body that anybody reads: its answer does not wait for one, for any caller. A
// webhook's connection is kept for the next, though its body is not read.
func TestBodyOfAGetIsNotAwaited(t *testing.T) {
	handler := web.Handle(slog.New(slog.DiscardHandler), "/", func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, http.StatusOK, strings.Repeat("x", 64<<10))
	}, web.Credential(func(r *http.Request) (*http.Request, error) { return r, nil }, nil))
	srv := httptest.NewServer(web.DropUnread(handler))
	defer srv.Close()
	for _, tc := range []struct {
		method, body string
		length       int
		close        bool
	}{{"GET", "x", 1000, true}, {"POST", "xxx", 3, false}} {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", tc.method, tc.length, tc.body)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || answer.StatusCode != http.StatusOK || answer.Close != tc.close {
			t.Errorf("%s: %v, %v", tc.method, answer, err)
		}
		_ = conn.Close()
	}
}

func TestRefusalsAreSampled(t *testing.T) { synctest.Test(t, refusalsAreSampled) }

func refusalsAreSampled(t *testing.T) {
	var log bytes.Buffer
	h := web.Handle(slog.New(slog.NewJSONHandler(&log, nil)), "GET /", func(http.ResponseWriter, *http.Request) error {
		return web.Unauthorized("unknown", nil)
	})
	for range 5000 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
	time.Sleep(time.Second) // of the bubble's clock
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	lines := strings.Count(log.String(), "\n")
	if lines != 21 {
		t.Errorf("%d lines for 5,000 refusals", lines)
	}
	if !strings.Contains(log.String(), `"more":4980`) {
		t.Error("the log does not say how many it left out")
	}
}

// What anybody may ask for is sampled whatever the answer, what needs a credential is not; and
// no flood of either hides a failure.
func TestAnswersToAnybodyAreSampled(t *testing.T) { synctest.Test(t, answersToAnybodyAreSampled) }

func answersToAnybodyAreSampled(t *testing.T) {
	shown := web.Credential(func(r *http.Request) (*http.Request, error) { return r, nil }, nil)
	for _, tc := range []struct {
		opts []web.Option
		most int
	}{{nil, 21}, {[]web.Option{shown}, 201}} {
		var log bytes.Buffer
		broken := false
		h := web.Handle(slog.New(slog.NewJSONHandler(&log, nil)), "GET /", func(w http.ResponseWriter, _ *http.Request) error {
			if broken {
				return errors.New("the-cause")
			}
			w.WriteHeader(http.StatusNotModified)
			return nil
		}, tc.opts...)
		ask := func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) }
		for range 200 {
			ask()
		}
		broken = true
		ask()
		if lines := strings.Count(log.String(), "\n"); lines != tc.most || !strings.Contains(log.String(), "the-cause") {
			t.Errorf("%d lines, want %d and the failure among them", lines, tc.most)
		}
	}
}

func TestErrorTextIsNotDoubled(t *testing.T) {
	cause := web.Unavailable("database away", 0, io.ErrUnexpectedEOF)
	for _, tc := range []struct {
		err  *web.Error
		want string
	}{
		{web.Unauthorized("token expired", io.EOF), "Authorization: token expired: EOF"},
		{&web.Error{Field: "body", Reason: "unexpected EOF", Err: io.ErrUnexpectedEOF}, "body: unexpected EOF"},
		{web.Unavailable("database away", 0, cause), "database away: unexpected EOF"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

// A body that comes slowly does not hold its request's turn.
func TestTurnsWaitForBodies(t *testing.T) {
	turns := web.NewTurns(1)
	h := web.Handle(slog.New(slog.DiscardHandler), "POST /", func(w http.ResponseWriter, r *http.Request) error {
		body, err := web.Body(w, r, 100)
		if err == nil {
			err = web.WriteJSON(w, 200, string(body))
		}
		return err
	}, web.Whole(10), web.InTurn(turns, byHeader))
	body, send := io.Pipe()
	slow := make(chan *httptest.ResponseRecorder)
	go func() { slow <- post(h, "slow", body) }()
	if _, err := send.Write([]byte("half")); err != nil { // it is being read
		t.Fatal(err)
	}
	if w := post(h, "quick", strings.NewReader("quick")); w.Code != 200 {
		t.Errorf("beside a slow body: %d", w.Code)
	}
	_ = send.Close()
	if w := <-slow; w.Code != 200 || w.Body.String() != "\"half\"\n" {
		t.Errorf("the slow one: %d %s", w.Code, w.Body)
	}
	if w := post(h, "large", strings.NewReader("eleven chars")); w.Code != 413 {
		t.Errorf("beyond the limit: %d", w.Code)
	}
}
