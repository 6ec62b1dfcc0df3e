package runtime

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
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"roomcast/shared/runtime/lambdatest"
)

// quiet logs nowhere.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func functionFor(h http.HandlerFunc) adapter { return adapter{log: quiet(), handler: h} }

// call answers a buffered GET.
func call(t *testing.T, ctx context.Context, h http.HandlerFunc) *events.LambdaFunctionURLResponse {
	t.Helper()
	return callMethod(t, ctx, "GET", h)
}

func callMethod(t *testing.T, ctx context.Context, method string, h http.HandlerFunc) *events.LambdaFunctionURLResponse {
	t.Helper()
	got, err := functionFor(h).invoke(ctx, lambdatest.FunctionURL(t, httptest.NewRequest(method, "/x", nil)))
	if err != nil {
		t.Fatal(err)
	}
	res, ok := got.(*events.LambdaFunctionURLResponse)
	if !ok {
		t.Fatalf("answered with %T", got)
	}
	return res
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		method  string
		handler http.HandlerFunc
		status  int
		body    string
		base64  bool
		headers map[string]string // "" must be absent
		cookies []string
	}{
		{name: "nothing written", handler: func(http.ResponseWriter, *http.Request) {}, status: 200},
		{
			name: "text", status: 201, body: "é\u2028<&\x00",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(201)
				w.WriteHeader(500) // superfluous: ignored
				w.Header().Set("Late", "no")
				fmt.Fprint(w, "é\u2028<&\x00")
			},
			headers: map[string]string{"Content-Type": "application/json", "Late": ""},
		},
		{
			name: "binary, whatever its type says", status: 200, body: "/wBB", base64: true,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				_, _ = w.Write([]byte{0xff, 0, 'A'})
			},
		},
		{
			name: "guessed type", status: 200, body: "<!DOCTYPE html>",
			handler: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!DOCTYPE html>") },
			headers: map[string]string{"Content-Type": "text/html; charset=utf-8"},
		},
		{
			name: "cookies and repeated headers", status: 204, cookies: []string{"a=1; Path=/", "b=2, 3"},
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Add("Set-Cookie", "a=1; Path=/")
				w.Header().Add("Set-Cookie", "b=2, 3")
				w.Header().Add("Vary", "Origin")
				w.Header().Add("Vary", "Accept")
				w.Header().Set("Content-Length", "99")
				w.WriteHeader(204)
			},
			headers: map[string]string{"Vary": "Origin, Accept", "Content-Length": "", "Set-Cookie": ""},
		},
		{
			name: "early hints are no answer", status: 404, body: "no",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(404)
				fmt.Fprint(w, "no")
			},
		},
		{
			name: "no body with 304", status: 304,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(304)
				if _, err := fmt.Fprint(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
					panic(err)
				}
			},
		},
		{
			name: "no body to HEAD", method: "HEAD", status: 200,
			handler: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") },
		},
		{
			name: "panic", status: 500, body: `{"error":"internal error"}`,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(200)
				panic("secret")
			},
		},
		{
			name: "abort after half an answer", status: 500, body: `{"error":"internal error"}`,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "half")
				panic(http.ErrAbortHandler)
			},
		},
		{
			name: "more than Lambda carries", status: 500, body: `{"error":"internal error"}`,
			handler: func(w http.ResponseWriter, _ *http.Request) {
				for range 7 {
					_, _ = w.Write(make([]byte, 1<<20))
				}
			},
		},
		{
			name: "more than Lambda carries once encoded", status: 500, body: `{"error":"answer too large"}`,
			handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method := tc.method
			if method == "" {
				method = "GET"
			}
			res := callMethod(t, t.Context(), method, tc.handler)
			if res.StatusCode != tc.status || res.Body != tc.body || res.IsBase64Encoded != tc.base64 {
				t.Errorf("got %d %.60q base64 %v, want %d %q base64 %v",
					res.StatusCode, res.Body, res.IsBase64Encoded, tc.status, tc.body, tc.base64)
			}
			for name, want := range tc.headers {
				if got := res.Headers[name]; got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if fmt.Sprint(res.Cookies) != fmt.Sprint(tc.cookies) {
				t.Errorf("cookies %q, want %q", res.Cookies, tc.cookies)
			}
		})
	}
}

func TestBadRequestIsAnAnswerNotAnError(t *testing.T) {
	payload := bytes.Replace(sample(t, "gateway-v2-post-base64.json"), []byte(`"body": "`), []byte(`"body": "%`), 1)
	unreached := functionFor(func(http.ResponseWriter, *http.Request) { t.Error("handler called") })
	got, err := unreached.invoke(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	if res := got.(*events.LambdaFunctionURLResponse); res.StatusCode != 400 || !strings.Contains(res.Body, "base64") {
		t.Errorf("got %d %s", res.StatusCode, res.Body)
	}
}

// In a bubble time is exact, so the deadlines are too.
func TestHandlerIsCancelledBeforeTheFunctionIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		res := call(t, ctx, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		if took := time.Since(start); took != 9500*time.Millisecond || res.StatusCode != 503 {
			t.Errorf("answered %d after %v, want the handler's 503 after 9.5s", res.StatusCode, took)
		}
	})
}

func TestDeafHandlerIsAnsweredFor(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			release := make(chan struct{})
			a := functionFor(func(http.ResponseWriter, *http.Request) { <-release })
			a.streaming = streaming
			got, err := a.invoke(ctx, sample(t, "function-url-get.json"))
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != 9750*time.Millisecond {
				t.Errorf("answered after %v, want 9.75s", took)
			}
			if status := statusOf(got); status != http.StatusGatewayTimeout {
				t.Errorf("status %d", status)
			}
			close(release) // a goroutine left in the bubble would fail the test
		})
	}
}

func statusOf(answer any) int {
	switch res := answer.(type) {
	case *events.LambdaFunctionURLResponse:
		return res.StatusCode
	case *events.LambdaFunctionURLStreamingResponse:
		return res.StatusCode
	}
	return 0
}

func TestShortTimeoutKeepsThreeQuarters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		call(t, ctx, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		if took := time.Since(start); took != 750*time.Millisecond {
			t.Errorf("context ended after %v", took)
		}
	})
}

// streamCall answers a GET of a streaming Function URL.
func streamCall(t *testing.T, ctx context.Context, h http.HandlerFunc) *events.LambdaFunctionURLStreamingResponse {
	t.Helper()
	a := functionFor(h)
	a.streaming = true
	got, err := a.invoke(ctx, sample(t, "function-url-get.json"))
	if err != nil {
		t.Fatal(err)
	}
	res, ok := got.(*events.LambdaFunctionURLStreamingResponse)
	if !ok {
		t.Fatalf("answered with %T", got)
	}
	return res
}

func TestStreamBeginsBeforeTheHandlerEnds(t *testing.T) {
	more := make(chan struct{})
	res := streamCall(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.WriteHeader(206)
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, "one")
		<-more
		fmt.Fprint(w, "two")
	})
	if res.StatusCode != 206 || len(res.Cookies) != 1 {
		t.Errorf("head %d %q", res.StatusCode, res.Cookies)
	}
	first := make([]byte, 3)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "one" {
		t.Fatalf("first part %q, %v", first, err)
	}
	close(more)
	rest, err := io.ReadAll(res.Body)
	if err != nil || string(rest) != "two" {
		t.Errorf("rest %q, %v", rest, err)
	}
	if err := res.Close(); err != nil {
		t.Error(err)
	}
}

// A handler may be done before anybody waits for it, and so release its
// deadlines: that must not look like a missed one.
func TestQuickHandlerIsNotOverdue(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 500 {
		res := streamCall(t, ctx, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
		if res.StatusCode != 204 {
			t.Fatalf("status %d", res.StatusCode)
		}
		_ = res.Close()
	}
}

func TestStreamFailures(t *testing.T) {
	t.Run("panic before the head", func(t *testing.T) {
		res := streamCall(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			panic("x")
		})
		if res.StatusCode != 500 {
			t.Errorf("status %d", res.StatusCode)
		}
	})
	t.Run("panic in the body", func(t *testing.T) {
		res := streamCall(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "half")
			panic("x")
		})
		body, err := io.ReadAll(res.Body)
		if string(body) != "half" || !errors.Is(err, errPanic) {
			t.Errorf("body %q, %v", body, err)
		}
	})
	t.Run("caller gone", func(t *testing.T) {
		ended := make(chan error, 1)
		res := streamCall(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			_, err := fmt.Fprint(w, "x")
			ended <- err
		})
		_ = res.Close() // returns only when the handler has
		select {
		case err := <-ended:
			if !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("write to nobody: %v", err)
			}
		default:
			t.Error("Close did not wait for the handler")
		}
	})
	t.Run("deadline in the body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			release := make(chan struct{})
			res := streamCall(t, ctx, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "half")
				<-release
			})
			body, err := io.ReadAll(res.Body)
			if string(body) != "half" || !errors.Is(err, errDeadline) {
				t.Errorf("body %q, %v", body, err)
			}
			close(release)
		})
	})
}

func TestGatewayIsNeverStreamedTo(t *testing.T) {
	a := functionFor(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "whole") })
	a.streaming = true
	got, err := a.invoke(t.Context(), sample(t, "gateway-v2-stage.json"))
	if err != nil {
		t.Fatal(err)
	}
	if res, ok := got.(*events.LambdaFunctionURLResponse); !ok || res.Body != "whole" {
		t.Errorf("got %T %+v", got, got)
	}
}

func TestResultIsWhatTheGatewayReads(t *testing.T) {
	res := call(t, t.Context(), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		fmt.Fprint(w, "hi")
	})
	out, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"statusCode":200,"headers":{"Content-Type":"text/plain; charset=utf-8"},` +
		`"body":"hi","isBase64Encoded":false,"cookies":["a=1"]}`
	if string(out) != want {
		t.Errorf("got  %s\nwant %s", out, want)
	}
}
