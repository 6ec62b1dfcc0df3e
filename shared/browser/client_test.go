package browser_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roomcast/shared/pusher/pushertest"
)

// TestNode runs test/*.test.js under Node's own runner, with the real pusher-js and
// supabase-js, in a world of their own. The seed of what is lost, repeated and
// swapped is printed; ROOMCAST_SEED sets it.
func TestNode(t *testing.T) {
	pushertest.NodeModules(t)
	files, err := filepath.Glob("test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatal("no tests:", err)
	}
	t.Parallel()
	seed := strconv.FormatUint(seedOf(t), 10)
	// Several at once, whatever the number of processors: they mostly wait. The longest first.
	slices.SortStableFunc(files, func(a, b string) int { return turn(a) - turn(b) })
	var running sync.WaitGroup
	turns := make(chan struct{}, 4)
	for _, file := range files {
		running.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			t.Run(strings.TrimSuffix(filepath.Base(file), ".test.js"), func(t *testing.T) {
				w := newWorld(t)
				if out, err := w.node(file, seed); err != nil {
					t.Errorf("%v\n%s", err, out)
				} else if testing.Verbose() {
					t.Logf("%s", out)
				}
			})
		})
	}
	running.Wait()
}

// longest are the files that wait longest, in this order; they begin first.
var longest = []string{"storm", "clock", "unreachable", "poll", "silent", "never", "own"}

// turn is when a file begins.
func turn(file string) int {
	at := slices.Index(longest, strings.TrimSuffix(filepath.Base(file), ".test.js"))
	if at < 0 {
		return len(longest)
	}
	return at
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

// node runs one file of tests, and returns its report.
func (w *world) node(file, seed string) ([]byte, error) {
	config := w.pusher.Config()
	// Node 20 has a WebSocket behind a flag, which later ones ignore; supabase-js needs
	// one. The libraries leave timers behind, for which nobody should have to wait.
	cmd := exec.CommandContext(w.ctx, "node", "--experimental-websocket", "--no-warnings",
		"--test-reporter=spec", "--test-timeout=150000", "--test-force-exit", "--test", file)
	cmd.Env = append(os.Environ(), "WORLD="+w.url, "SEED="+seed, "PUSHER_HOST="+w.wire.addr(), "PUSHER_KEY="+config.Key)
	return cmd.CombinedOutput()
}

// TestTypes checks what an app may write against the published types, by TypeScript's
// own compiler.
func TestTypes(t *testing.T) {
	tsc := filepath.Join(pushertest.NodeModules(t), "typescript", "bin", "tsc")
	if _, err := os.Stat(tsc); err != nil {
		t.Fatalf("run `npm ci` in shared/browser: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), "node", tsc, "-p", "test").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
