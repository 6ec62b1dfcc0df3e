package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"roomcast/shared/web"
)

// observed is what the Observe hook was told.
type observed struct {
	route  string
	status int
}

// serve runs h as a route on a real server and returns the answer, the log and
// the observations. Closing the server waits for the handler to be done.
func serve(t *testing.T, r *http.Request, h web.HandlerFunc, opts ...web.Option) (*http.Response, string, []observed) {
	t.Helper()
	var log bytes.Buffer
	var seen []observed
	opts = append(opts, web.Observe(func(route string, status int, took time.Duration) {
		if took < 0 {
			t.Errorf("took %v", took)
		}
		seen = append(seen, observed{route, status})
	}))
	srv := httptest.NewServer(web.Handle(slog.New(slog.NewJSONHandler(&log, nil)), "GET /test/{id}", h, opts...))
	defer srv.Close()
	r.URL.Scheme, r.URL.Host, r.RequestURI = "http", srv.Listener.Addr().String(), ""
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err == nil {
		body, readErr := io.ReadAll(res.Body)
		res.Body = io.NopCloser(bytes.NewReader(body))
		err = readErr
	}
	srv.Close()
	if err != nil {
		return nil, log.String(), seen
	}
	return res, log.String(), seen
}

func request() *http.Request {
	r := httptest.NewRequest("GET", "/test/the-room?token=the-query", nil)
	r.Header.Set("Authorization", "Bearer the-header")
	return r
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestErrorsBecomeAnswers(t *testing.T) {
	cause := errors.New("the-cause")
	for _, tc := range []struct {
		name   string
		err    error
		status int
		body   string
		header string // "Name: value" expected
	}{
		{"bad request", web.BadRequest("after", "must be a number"), 400, `{"error":"must be a number","field":"after"}`, ""},
		{"unauthorized", web.Unauthorized("token expired", cause), 401, `{"error":"token expired","field":"Authorization"}`, "Www-Authenticate: Bearer"},
		{"forbidden", web.Forbidden("no member of this room", cause), 403, `{"error":"no member of this room"}`, ""},
		{"not found", web.NotFound("no such room"), 404, `{"error":"no such room"}`, ""},
		{"unavailable", web.Unavailable("database away", 1500*time.Millisecond, cause), 503, `{"error":"database away"}`, "Retry-After: 2"},
		{"wrapped", fmt.Errorf("claim: %w", web.NotFound("no such room")), 404, `{"error":"no such room"}`, ""},
		{"unknown", cause, 500, `{"error":"internal error"}`, ""},
		{"deadline below", fmt.Errorf("query: %w", context.DeadlineExceeded), 503, `{"error":"timed out"}`, "Retry-After: 1"},
		{"cancelled below, the caller still there", context.Canceled, 500, `{"error":"internal error"}`, ""},
		{"body limit met elsewhere", &http.MaxBytesError{Limit: 9}, 413, `{"error":"larger than 9 bytes","field":"body"}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, log, seen := serve(t, request(), func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("Etag", "x") // of the answer that is not given
				w.Header().Set("Cache-Control", "public, max-age=60")
				return tc.err
			})
			if res == nil {
				t.Fatal("no answer")
			}
			if got := strings.TrimSpace(text(t, res)); res.StatusCode != tc.status || got != tc.body {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, got, tc.status, tc.body)
			}
			if name, want, ok := strings.Cut(tc.header, ": "); ok && res.Header.Get(name) != want {
				t.Errorf("%s = %q, want %q", name, res.Header.Get(name), want)
			}
			if res.Header.Get("Etag") != "" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers of the other answer: %v", res.Header)
			}
			if got := res.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			if errors.Is(tc.err, cause) && !strings.Contains(log, "the-cause") {
				t.Errorf("the cause is not logged: %s", log)
			}
			if want := (observed{"GET /test/{id}", tc.status}); len(seen) != 1 || seen[0] != want {
				t.Errorf("observed %v, want %v", seen, want)
			}
		})
	}
}

func TestLogHoldsTheRouteAndNothingOfTheCaller(t *testing.T) {
	_, log, _ := serve(t, request(), func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, 201, map[string]string{"content": "the-text"})
	})
	var line struct {
		Level, Msg, Method, Route string
		Status, Bytes             int
		Took                      *int64
	}
	if err := json.Unmarshal([]byte(log), &line); err != nil {
		t.Fatalf("%v in %s", err, log)
	}
	if line.Level != "INFO" || line.Method != "GET" || line.Route != "GET /test/{id}" || line.Status != 201 || line.Took == nil {
		t.Errorf("log line %s", log)
	}
	if want := len("{\"content\":\"the-text\"}\n"); line.Bytes != want {
		t.Errorf("bytes %d, want %d", line.Bytes, want)
	}
	for _, secret := range []string{"the-room", "the-query", "the-header", "the-text", "127.0.0.1"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q: %s", secret, log)
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	res, _, _ := serve(t, request(), func(http.ResponseWriter, *http.Request) error { return nil })
	if res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
	for name, want := range map[string]string{
		"Cache-Control":           "no-store",
		"X-Content-Type-Options":  "nosniff",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		"Referrer-Policy":         "no-referrer",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestPanicIsAnswered(t *testing.T) {
	res, log, seen := serve(t, request(), func(http.ResponseWriter, *http.Request) error { panic("the-panic") })
	if res == nil || res.StatusCode != 500 || strings.Contains(text(t, res), "the-panic") {
		t.Errorf("answer %v", res)
	}
	if !strings.Contains(log, "the-panic") || !strings.Contains(log, "web_test.go") {
		t.Errorf("no panic with its stack in %s", log)
	}
	if len(seen) != 1 || seen[0].status != 500 {
		t.Errorf("observed %v", seen)
	}
}

func TestHalfASuccessIsCutOff(t *testing.T) {
	for name, end := range map[string]func() error{
		"error":          func() error { return errors.New("the-cause") },
		"panic":          func() error { panic("the-cause") },
		"abort":          func() error { panic(http.ErrAbortHandler) },
		"abort returned": func() error { return http.ErrAbortHandler },
	} {
		t.Run(name, func(t *testing.T) {
			res, log, seen := serve(t, request(), func(w http.ResponseWriter, _ *http.Request) error {
				fmt.Fprint(w, "half")
				_ = http.NewResponseController(w).Flush()
				return end()
			})
			if res != nil {
				t.Errorf("the caller believes it got everything: %d", res.StatusCode)
			}
			if len(seen) != 1 {
				t.Errorf("observed %v", seen)
			}
			if !strings.HasPrefix(name, "abort") && !strings.Contains(log, "the-cause") {
				t.Errorf("the cause is not logged: %s", log)
			}
		})
	}
}

func TestQuietRoutesLogOnlyFailures(t *testing.T) {
	for status, logged := range map[int]bool{200: false, 404: false, 500: true} {
		_, log, seen := serve(t, request(), func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(status)
			return nil
		}, web.Quiet())
		if (log != "") != logged || len(seen) != 1 {
			t.Errorf("%d: log %q, observed %v", status, log, seen)
		}
	}
}

// A caller who hangs up is no failure of ours, and is told nothing.
func TestCallerWhoHangsUp(t *testing.T) {
	ctx, hangUp := context.WithCancel(t.Context())
	entered := make(chan struct{})
	go func() { <-entered; hangUp() }()
	_, log, seen := serve(t, request().WithContext(ctx), func(_ http.ResponseWriter, r *http.Request) error {
		close(entered)
		<-r.Context().Done()
		return fmt.Errorf("query: %w", r.Context().Err())
	})
	if len(seen) != 1 || seen[0].status != 499 || !strings.Contains(log, `"level":"INFO"`) {
		t.Errorf("observed %v, logged %s", seen, log)
	}
}

func TestWriteJSONSendsNothingItCannotEncode(t *testing.T) {
	res, _, _ := serve(t, request(), func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, 200, func() {})
	})
	if res == nil || res.StatusCode != 500 {
		t.Errorf("answer %v", res)
	}
	res, _, _ = serve(t, request(), func(w http.ResponseWriter, _ *http.Request) error {
		return web.WriteJSON(w, 200, json.RawMessage(`{"n":9007199254740993,"s":"<&>"}`))
	})
	if got := text(t, res); got != "{\"n\":9007199254740993,\"s\":\"<&>\"}\n" {
		t.Errorf("got %s", got)
	}
}
