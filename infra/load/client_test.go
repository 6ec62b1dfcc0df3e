package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestDriveSendsWhatItIsGiven(t *testing.T) {
	var good atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && r.URL.Path == "/x" && string(body) == "hello" &&
			r.Header.Get("Authorization") == "Bearer secret" && r.Header.Get("Content-Type") == "text/plain" {
			good.Add(1)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	request := post("/x", "text/plain", "secret", "hello")
	d, err := drive(t.Context(), server.Listener.Addr().String(), 3, 50*time.Millisecond, func() []byte { return request })
	if err != nil {
		t.Fatal(err)
	}
	if d.requests == 0 || int64(d.requests) != good.Load() || len(d.latencies) != d.requests {
		t.Errorf("%d requests, %d as given, %d latencies", d.requests, good.Load(), len(d.latencies))
	}
	if d.took < 50*time.Millisecond || d.rate() <= 0 {
		t.Errorf("took %v, rate %v", d.took, d.rate())
	}
}

// A refusal is quick and must never count as work done.
func TestDriveFailsOnAnythingBut2xx(t *testing.T) {
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "403"},
		{"without a length", func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
		}, errChunked.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := httptest.NewServer(tc.handler)
			defer server.Close()
			_, err := drive(t.Context(), server.Listener.Addr().String(), 1, time.Second, func() []byte { return post("/", "a/b", "c", "") })
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}
