package pusher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const testSecret = "hush-hush"

// against makes a client of a handler.
func against(t testing.TB, handler http.HandlerFunc, change ...func(*Config)) *Client {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	cfg := Config{AppID: "1", Key: "k", Secret: testSecret, Host: srv.Listener.Addr().String()}
	withKey(&cfg)
	for _, fn := range change {
		fn(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdle) // before srv.Close, which waits for them
	return c
}

func oneEvent() []Event { return []Event{{Channel: "private-x", Name: "n", Data: []byte(`{"a":1}`)}} }

// calls are all that go over the network; each must keep the same rules.
func calls(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"batch": func(ctx context.Context) error { return c.PublishBatch(ctx, oneEvent()) },
		"sealed": func(ctx context.Context) error {
			return c.PublishBatch(ctx, []Event{{Channel: "private-encrypted-x", Name: "n", Data: []byte(`{"a":1}`)}})
		},
		"terminate": func(ctx context.Context) error { return c.TerminateUser(ctx, "u9") },
		"check":     func(ctx context.Context) error { _, err := c.Check(ctx); return err },
	}
}

// noLeak fails when an error tells what must not be told.
func noLeak(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{"auth_signature", "auth_key", "http://", testSecret, `{"a":1}`} {
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
			t.Errorf("the error shows %q: %v", secret, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		status     int
		retryAfter string
		wait       time.Duration
		class      Class
	}{
		{200, "", 0, Accepted},
		{202, "", 0, Accepted},
		{204, "", 0, Accepted},
		{301, "", 0, Credentials},
		{307, "", 0, Credentials},
		{400, "", 0, Rejected},
		{401, "", 0, Credentials},
		{403, "", 0, Refused},
		{404, "", 0, Credentials},
		{408, "", 0, TryLater},
		{413, "", 0, Rejected},
		{418, "", 0, TryLater},
		{429, "7", 7 * time.Second, TryLater},
		{500, "-3", 0, TryLater},
		{502, "soon", 0, TryLater},
		{503, "99999999", time.Hour, TryLater},
		{504, "", 0, TryLater},
	} {
		var followed atomic.Int32
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.URL.Path, "/apps/1/") {
				followed.Add(1)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", tc.retryAfter)
			w.WriteHeader(tc.status)
			if tc.status != 204 {
				fmt.Fprintf(w, "not JSON, %s, signature %s\nsecond line", testSecret, strings.Repeat("ab", 32))
			}
		})
		for name, call := range calls(c) {
			err := call(t.Context())
			if Classify(err) != tc.class {
				t.Errorf("%s %d: class %v, want %v (%v)", name, tc.status, Classify(err), tc.class, err)
			}
			var answer *Error
			if errors.As(err, &answer) != (tc.class != Accepted) {
				t.Errorf("%s %d: %T", name, tc.status, err)
			} else if answer != nil && (answer.Status != tc.status || answer.RetryAfter != tc.wait ||
				answer.Reason != "not JSON, [secret], signature [hex]") {
				t.Errorf("%s %d: %+v", name, tc.status, answer)
			}
			noLeak(t, err)
		}
		if followed.Load() != 0 {
			t.Errorf("%d: the redirect was followed", tc.status)
		}
	}
}

func TestRetryAfterAsADate(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"Sun, 22 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Sun, 22 Nov 2026 11:00:00 GMT": 0,
		"Sun, 22 Nov 2026 20:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%s: %v, want %v", header, got, want)
		}
	}
}

func TestEndlessAnswersAreCut(t *testing.T) {
	for _, status := range []int{200, 500} {
		var sent atomic.Int64
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			chunk := []byte(strings.Repeat("x", 8192))
			for r.Context().Err() == nil {
				n, err := w.Write(chunk)
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		})
		err := c.PublishBatch(t.Context(), oneEvent())
		if (Classify(err) == Accepted) != (status == 200) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d: %v", status, err)
		}
		var answer *Error
		if errors.As(err, &answer) && len(answer.Reason) > maxReason+len("…") {
			t.Errorf("a reason of %d bytes", len(answer.Reason))
		}
	}
}

func TestNoAnswer(t *testing.T) {
	hang := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
	t.Run("timeout", func(t *testing.T) {
		for name, call := range calls(against(t, hang, func(c *Config) { c.Timeout = 20 * time.Millisecond })) {
			err := call(t.Context())
			if !errors.Is(err, context.DeadlineExceeded) || Classify(err) != TryLater {
				t.Errorf("%s: %v", name, err)
			}
			noLeak(t, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		arrived := make(chan struct{})
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			hang(w, r)
		})
		for name, call := range calls(c) {
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				<-arrived
				cancel(errors.New("lease lost"))
			}()
			err := call(ctx)
			if !errors.Is(err, context.Canceled) || Classify(err) != TryLater {
				t.Errorf("%s: %v", name, err)
			}
			noLeak(t, err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		})
		for name, call := range calls(c) {
			err := call(t.Context())
			var answer *Error
			if err == nil || Classify(err) != TryLater || errors.As(err, &answer) {
				t.Errorf("%s: %v", name, err)
			}
			noLeak(t, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = ln.Close() // nobody listens there now
		c := against(t, nil, func(c *Config) { c.Host = ln.Addr().String() })
		for name, call := range calls(c) {
			err := call(t.Context())
			if !errors.Is(err, syscall.ECONNREFUSED) || Classify(err) != TryLater {
				t.Errorf("%s: %v", name, err)
			}
			noLeak(t, err)
		}
	})
	t.Run("not HTTP", func(t *testing.T) {
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(conn, "%s %s\r\n\r\n", testSecret, r.URL.RawQuery)
			_ = conn.Close()
		})
		for name, call := range calls(c) {
			err := call(t.Context())
			if err == nil || Classify(err) != TryLater || strings.Contains(err.Error(), testSecret) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A pool of two serves many callers with two connections, and the client is set up without a
// race on its first use (run with -race).
func TestConnectionsAreReused(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "not JSON")
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := against(t, nil, func(c *Config) { c.Host, c.MaxConns = srv.Listener.Addr().String(), 2 })
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 20 {
				if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	c.CloseIdle()
	if n := opened.Load(); n < 1 || n > 2 {
		t.Errorf("%d connections for 160 calls, want 1 or 2", n)
	}
}

// After a call without an answer the rest of the pool is not trusted either: on a machine that
// was suspended each dead connection would cost a timeout.
func TestANetworkFaultEmptiesThePool(t *testing.T) {
	var opened, served atomic.Int32
	both := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch served.Add(1) {
		case 1:
			<-both // so that the second needs a connection of its own
		case 2:
			close(both)
		case 3:
			<-r.Context().Done()
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := against(t, nil, func(c *Config) { c.Host = srv.Listener.Addr().String() })
	var pair sync.WaitGroup
	for range 2 {
		pair.Go(func() {
			if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
				t.Error(err)
			}
		})
	}
	pair.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.PublishBatch(ctx, oneEvent()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := c.PublishBatch(t.Context(), oneEvent()); err != nil {
		t.Error(err)
	}
	if n := opened.Load(); n != 3 {
		t.Errorf("%d connections, want a third one after the fault", n)
	}
}

func TestCheckMeasuresTheClock(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, status := range []int{200, 401} {
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", now.Add(11*time.Minute).Format(http.TimeFormat))
			w.WriteHeader(status)
		}, func(c *Config) { c.Now = func() time.Time { return now } })
		result, err := c.Check(t.Context())
		if (err == nil) != (status == 200) {
			t.Errorf("%d: %v", status, err)
		}
		// The Date header has whole seconds, so the middle of its second is assumed.
		if !result.Answered || !result.SkewKnown || (result.Skew-11*time.Minute).Abs() > time.Second {
			t.Errorf("%d: %+v", status, result)
		}
	}
}
