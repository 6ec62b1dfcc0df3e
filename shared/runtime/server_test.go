package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// running is a server under test.
type running struct {
	url, metrics string
	signals      chan os.Signal
	ended        chan error
}

// start runs serve on free ports and returns when it is ready.
func start(t *testing.T, ctx context.Context, cfg Config, h http.Handler) *running {
	t.Helper()
	rn := &running{signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	cfg.Addr, cfg.Log = "127.0.0.1:0", quiet()
	ready := make(chan struct{})
	cfg.Ready = func(addr, metrics net.Addr) {
		rn.url = "http://" + addr.String()
		if metrics != nil {
			rn.metrics = "http://" + metrics.String()
		}
		close(ready)
	}
	go func() { rn.ended <- serve(ctx, cfg, h, rn.signals) }()
	select {
	case <-ready:
	case err := <-rn.ended:
		t.Fatalf("did not start: %v", err)
	}
	return rn
}

// get reads url in full, on a connection of its own.
func get(url string) (status int, body string, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), err
}

// worker is a Worker for tests; nil functions do nothing.
type worker struct {
	busy  func() bool
	drain func(context.Context) error
}

func (w worker) Busy() bool { return w.busy != nil && w.busy() }
func (w worker) Drain(ctx context.Context) error {
	if w.drain == nil {
		return nil
	}
	return w.drain(ctx)
}

func TestSignalDrains(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			entered, release := make(chan struct{}), make(chan struct{})
			var answered atomic.Bool
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				Working(r.Context())
				close(entered)
				<-release
				if r.Context().Err() != nil {
					t.Error("the signal cancelled a request under way")
				}
				fmt.Fprint(w, "finished")
				answered.Store(true)
			})
			drained := make(chan bool, 1)
			rn := start(t, t.Context(), Config{Worker: worker{drain: func(context.Context) error {
				drained <- answered.Load()
				return nil
			}}}, h)

			body := make(chan string, 1)
			go func() {
				_, got, err := get(rn.url)
				body <- fmt.Sprint(got, err)
			}()
			<-entered
			rn.signals <- sig
			awaitRefusal(t, rn.url)
			close(release)
			if got := <-body; got != "finished<nil>" {
				t.Errorf("request under way got %q", got)
			}
			if !<-drained {
				t.Error("worker was drained before the last request was answered")
			}
			if err := <-rn.ended; err != nil {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// awaitRefusal returns once the server accepts no more connections.
func awaitRefusal(t *testing.T, url string) {
	t.Helper()
	addr := strings.TrimPrefix(url, "http://")
	for {
		conn, err := net.Dial("tcp", addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
		if t.Context().Err() != nil {
			t.Fatal("still accepting")
		}
	}
}

func TestHangingRequestLeavesTheWorkerItsTime(t *testing.T) {
	entered, cancelled := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		Working(r.Context())
		close(entered)
		<-r.Context().Done()
		close(cancelled)
	})
	left := make(chan error, 1)
	rn := start(t, t.Context(), Config{
		DrainTimeout: 200 * time.Millisecond,
		Worker: worker{drain: func(ctx context.Context) error {
			select {
			case <-cancelled: // by the time the worker has its turn
			case <-ctx.Done():
			}
			left <- ctx.Err()
			return nil
		}},
	}, h)
	// Its body is never read, so that net/http would not notice the closed
	// connection and only the drain itself can cancel the request.
	conn, err := net.Dial("tcp", strings.TrimPrefix(rn.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
	<-entered
	rn.signals <- syscall.SIGTERM
	if err := <-left; err != nil {
		t.Errorf("worker had no time, or shared it with the request: %v", err)
	}
	if err := <-rn.ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended with %v, want an error: a request was cut", err)
	}
}

func TestWorkerThatCannotDrainIsAnError(t *testing.T) {
	lease := errors.New("lease kept")
	rn := start(t, t.Context(), Config{Worker: worker{drain: func(context.Context) error { return lease }}}, http.NotFoundHandler())
	rn.signals <- syscall.SIGTERM
	if err := <-rn.ended; !errors.Is(err, lease) {
		t.Errorf("ended with %v", err)
	}
}

func TestSecondSignalForces(t *testing.T) {
	draining := make(chan struct{})
	rn := start(t, t.Context(), Config{
		DrainTimeout: time.Hour,
		Worker: worker{drain: func(ctx context.Context) error {
			close(draining)
			<-ctx.Done()
			return ctx.Err()
		}},
	}, http.NotFoundHandler())
	rn.signals <- syscall.SIGTERM
	<-draining
	rn.signals <- syscall.SIGINT
	if err := <-rn.ended; !errors.Is(err, ErrForced) {
		t.Errorf("ended with %v", err)
	}
}

func TestContextEndsTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	rn := start(t, ctx, Config{}, http.NotFoundHandler())
	cancel()
	if err := <-rn.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestIdleExitDrainsAndIsNoError(t *testing.T) {
	drained := make(chan struct{}, 1)
	rn := start(t, t.Context(), Config{
		IdleExit: 40 * time.Millisecond,
		Worker:   worker{drain: func(context.Context) error { drained <- struct{}{}; return nil }},
	}, http.NotFoundHandler())
	if err := <-rn.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	select {
	case <-drained:
	default:
		t.Error("left without draining")
	}
}

func TestBusyWorkerKeepsTheServer(t *testing.T) {
	var asked atomic.Int32
	busy := make(chan struct{})
	rn := start(t, t.Context(), Config{
		IdleExit: 20 * time.Millisecond,
		Worker: worker{busy: func() bool {
			if asked.Add(1) == 12 { // three limits' worth of looks
				close(busy)
			}
			return asked.Load() <= 12
		}},
	}, http.NotFoundHandler())
	select {
	case err := <-rn.ended:
		t.Fatalf("left while busy: %v", err)
	case <-busy:
	}
	if err := <-rn.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestMetricsHaveTheirOwnPort(t *testing.T) {
	answer := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
	}
	during := make(chan string, 1)
	var rn *running
	rn = start(t, t.Context(), Config{
		MetricsAddr: "127.0.0.1:0",
		Metrics:     answer("metrics"),
		Worker: worker{drain: func(context.Context) error {
			_, body, err := get(rn.metrics)
			during <- fmt.Sprint(body, err)
			return nil
		}},
	}, answer("main"))
	if _, body, err := get(rn.url + "/metrics"); err != nil || body != "main" {
		t.Errorf("main port: %q, %v", body, err)
	}
	if _, body, err := get(rn.metrics + "/metrics"); err != nil || body != "metrics" {
		t.Errorf("metrics port: %q, %v", body, err)
	}
	rn.signals <- syscall.SIGTERM
	if got := <-during; got != "metrics<nil>" {
		t.Errorf("metrics while draining: %q", got)
	}
	if err := <-rn.ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, _, err := get(rn.metrics); err == nil {
		t.Error("the metrics port is still open")
	}
}

func TestTakenPortIsReported(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	unready := func(net.Addr, net.Addr) { t.Error("called itself ready") }
	for name, cfg := range map[string]Config{
		"main":    {Addr: taken.Addr().String()},
		"metrics": {Addr: "127.0.0.1:0", MetricsAddr: taken.Addr().String(), Metrics: http.NotFoundHandler()},
	} {
		cfg.Ready, cfg.Log = unready, quiet()
		err := serve(t.Context(), cfg, http.NotFoundHandler(), nil)
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken.Addr().String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	rn := start(t, t.Context(), Config{}, http.NotFoundHandler())
	req, err := http.NewRequest("GET", rn.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.Repeat("x", 64<<10))
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
	rn.signals <- syscall.SIGTERM
	if err := <-rn.ended; err != nil {
		t.Error(err)
	}
}
