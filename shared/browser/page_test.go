package browser_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"roomcast/shared/browser/chromiumtest"
	"roomcast/shared/pusher/pushertest"
)

// TestChromium is the promise, in a real browser with the real pusher-js and
// supabase-js: 20 messages a second while the page's network is cut and restored
// twenty times, Pusher's server restarts and the tokens expire. In each mode, and
// while switching between them, every message is shown once and in order. The naive
// handlers beside them lose some, so there was something to lose.
func TestChromium(t *testing.T) {
	pushertest.NodeModules(t)
	t.Parallel()
	seed := seedOf(t)
	random := rand.New(rand.NewPCG(seed, 2))
	w := newWorld(t)
	world, push := newProxy(t, strings.TrimPrefix(w.url, "http://")), newProxy(t, w.pusher.Addr())
	ctx := chromium(t)
	query := url.Values{"room": {"r"}, "pusher": {push.addr()}, "key": {w.pusher.Config().Key}}
	run(t, ctx, chromedp.Navigate("http://"+world.addr()+"/page?"+query.Encode()),
		chromedp.Poll[chromedp.Void](`window.loaded && ready()`))

	written, stop := make(chan int), make(chan struct{})
	go func() { written <- w.chatter("r", 50*time.Millisecond, stop) }()
	modes := []string{"both", "pusher", "supabase"}
	for i := range 20 {
		pause(t, 200+random.IntN(900))
		if i%3 == 0 {
			run(t, ctx, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`switchTo(%q)`, modes[i/3%3])))
		}
		told := i%2 == 0 // the browser notices, or does not
		if told {
			run(t, ctx, chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new Event('offline'))`))
		}
		world.cut(true)
		push.cut(true)
		pause(t, 50+random.IntN(450))
		switch i {
		case 5, 15:
			_, _ = w.expire(order{})
		case 10:
			w.pusher.Stop()
			pause(t, 500)
			if err := w.pusher.Start(); err != nil {
				t.Fatal(err)
			}
		}
		world.cut(false)
		push.cut(false)
		if told {
			run(t, ctx, chromedp.Evaluate[chromedp.Void](`window.dispatchEvent(new Event('online'))`))
		}
	}
	close(stop)
	n := <-written
	err := chromedp.Do(ctx, chromedp.Poll[chromedp.Void](fmt.Sprintf(`last("%d")`, n), chromedp.WithPollingInterval(100*time.Millisecond), chromedp.WithPollingTimeout(30*time.Second)))
	if err != nil {
		t.Errorf("message %d was not shown everywhere: %v", n, err)
	}
	shown := get[map[string][]string](t, ctx, `shown()`)
	for _, mode := range []string{"pusher", "both", "supabase", "switching"} {
		if got := shown[mode]; !slices.Equal(got, numbers(n)) {
			t.Errorf("mode %s showed %d of %d messages: %s", mode, len(got), n, oddities(got))
		}
	}
	for _, naive := range []string{"naive-pusher", "naive-supabase"} {
		t.Logf("%s: %d of %d", naive, len(shown[naive]), n)
		if slices.Equal(shown[naive], numbers(n)) {
			t.Errorf("%s lost nothing: the network was not bad enough to show anything", naive)
		}
	}
	screenshot(t, ctx)
}

// chatter writes messages, one each every, until it is stopped; it returns how many.
func (w *world) chatter(room string, every time.Duration, stop chan struct{}) (n int) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return n
		case <-tick.C:
			if _, err := w.commit(order{Room: room, Seed: 1}); err != nil {
				w.t.Error(err)
			}
			n++
		}
	}
}

func numbers(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(i + 1)
	}
	return out
}

// oddities names the places where a list is not 1, 2, 3 and so on.
func oddities(got []string) (out []string) {
	last := "0"
	for _, text := range got {
		if n, _ := strconv.Atoi(last); text != strconv.Itoa(n+1) {
			out = append(out, last+" then "+text)
		}
		last = text
	}
	return out
}

// pages serves the page and the npm packages it loads.
func (w *world) pages(mux *http.ServeMux) {
	for path, file := range map[string]string{
		"/page":            "test/page.html",
		"/page.js":         "test/page.js",
		"/lib/pusher.js":   "node_modules/pusher-js/dist/web/pusher.min.js",
		"/lib/supabase.js": "node_modules/@supabase/supabase-js/dist/umd/supabase.js",
	} {
		mux.HandleFunc("GET "+path, func(rw http.ResponseWriter, r *http.Request) { http.ServeFile(rw, r, file) })
	}
}

// seedOf is ROOMCAST_SEED or a new one, printed.
func seedOf(t *testing.T) uint64 {
	seed, err := strconv.ParseUint(os.Getenv("ROOMCAST_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().Unix())
	}
	t.Logf("ROOMCAST_SEED=%d", seed)
	return seed
}

func pause(t *testing.T, ms int) {
	select {
	case <-time.After(time.Duration(ms) * time.Millisecond):
	case <-t.Context().Done():
	}
}

// chromium starts a browser for the test, which is skipped on a machine without one,
// and fails in CI, where success must mean that it ran.
func chromium(t *testing.T) context.Context { return chromiumtest.Start(t, 1280, 860) }

func run(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(limited, actions...); err != nil {
		screenshot(t, ctx)
		t.Fatal(err)
	}
}

func get[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(limited, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// screenshot keeps what the browser shows in a file that outlives the test.
func screenshot(t *testing.T, ctx context.Context) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	png, err := chromedp.Run(limited, chromedp.CaptureScreenshot())
	path := filepath.Join(os.TempDir(), "roomcast-browser.png")
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	t.Logf("screenshot: %s %v", path, err)
}
