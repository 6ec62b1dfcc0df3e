package authorize

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestConnectionsAreDialledAgainAfterAPause(t *testing.T) {
	var dialled atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	now := time.Now()
	f := newFresh()
	f.clock = func() time.Time { return now }
	for _, tc := range []struct {
		pause time.Duration
		want  int32
	}{{0, 1}, {maxPause, 1}, {maxPause + 1, 2}, {time.Hour, 3}, {-time.Hour, 4}, {time.Second, 4}} {
		now = now.Add(tc.pause)
		answer, err := (&http.Client{Transport: f}).Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if got := dialled.Load(); got != tc.want {
			t.Errorf("after %v: %d connections, want %d", tc.pause, got, tc.want)
		}
	}
}
