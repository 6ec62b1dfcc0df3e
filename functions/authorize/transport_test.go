package authorize

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
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

// Without HTTP/2 each call at once has a connection, which the next one uses again.
func TestCallsAtOnceKeepTheirConnections(t *testing.T) {
	const calls = defaultSlots
	var dialled, asked atomic.Int32
	var all sync.WaitGroup // of a round have come
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		all.Done()
		all.Wait()
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: newFresh()}
	for range 3 {
		all.Add(calls)
		var done sync.WaitGroup
		for range calls {
			done.Go(func() {
				answer, err := client.Get(server.URL)
				if err != nil {
					t.Error(err)
					all.Done()
					return
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
			})
		}
		done.Wait()
	}
	if dialled.Load() != calls || asked.Load() != 3*calls {
		t.Errorf("%d connections for %d calls, %d at once; want one for each at once", dialled.Load(), asked.Load(), calls)
	}
}
