package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"roomcast/shared/browser/chromiumtest"
	"roomcast/shared/pusher/pushertest"
)

// app is one that a framework's own tool makes.
type app struct {
	name   string
	create []string          // npm's arguments; the directory's name is "app"
	files  map[string]string // of ours: where each goes
	build  []string
	out    string // what the build leaves, to be served below /app/
}

var apps = []app{{
	name:   "vite",
	create: []string{"create", "-y", "vite@7.1.3", "app", "--", "--template", "react-ts", "--no-interactive"},
	files:  map[string]string{"rooms.ts": "src/rooms.ts", "Room.tsx": "src/Room.tsx", "vite/App.tsx": "src/App.tsx"},
	build:  []string{"run", "build", "--", "--base=/app/"},
	out:    "dist",
}, {
	name: "next",
	create: []string{"create", "-y", "next-app@16.4.3", "app", "--", "--ts", "--eslint", "--app", "--no-tailwind", "--no-src-dir",
		"--no-turbopack", "--no-react-compiler", "--import-alias", "@/*", "--use-npm", "--skip-install", "--disable-git", "--yes"},
	files: map[string]string{"rooms.ts": "app/rooms.ts", "Room.tsx": "app/Room.tsx", "next/page.tsx": "app/page.tsx", "next/layout.tsx": "app/layout.tsx", "next/next.config.ts": "next.config.ts"},
	build: []string{"run", "build"},
	out:   "out",
}}

// TestApps makes an app by each framework's own tool, installs the package as npm pack
// makes it, builds the app, and shows messages in Chromium. It takes minutes and some
// hundred MB of npm packages: TEST_APPS=1 (task check:apps) runs it. infra/apps lints apps
// of the same kinds.
func TestApps(t *testing.T) {
	if os.Getenv("TEST_APPS") == "" {
		t.Skip("NOT TESTED: apps by create-vite and create-next-app; set TEST_APPS=1")
	}
	pushertest.NodeModules(t)
	tarball := pack(t)
	for _, a := range apps {
		t.Run(a.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			npm(t, filepath.Dir(dir), a.create...)
			for from, to := range a.files {
				copyFile(t, filepath.Join("apps", from), filepath.Join(dir, to))
			}
			npm(t, dir, "install", "--no-audit", "--no-fund", tarball, "pusher-js@8.6.0")
			npm(t, dir, a.build...)
			showMessages(t, filepath.Join(dir, a.out))
		})
	}
}

// TestPack: the tarball holds the modules with their types, and nothing of the tests.
func TestPack(t *testing.T) {
	pushertest.NodeModules(t)
	out, err := exec.CommandContext(t.Context(), "tar", "tzf", pack(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	parts, err := filepath.Glob("parts/*.js")
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	want := "package/README.md\npackage/package.json\npackage/" + strings.Join(parts, "\npackage/") + "\n"
	for _, name := range []string{"list.d.ts", "react.d.ts", "react.js", "receipts.d.ts", "receipts.js", "roomcast.d.ts", "roomcast.js",
		"svelte.d.ts", "svelte.js", "vue.d.ts", "vue.js"} {
		want += "package/" + name + "\n"
	}
	if got := sortLines(string(out)); got != sortLines(want) {
		t.Errorf("the package has\n%swant\n%s", got, want)
	}
}

// pack returns the path of what npm pack makes of this directory.
func pack(t *testing.T) string {
	t.Helper()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	npm(t, dir, "pack", "--silent", here)
	found, err := filepath.Glob(filepath.Join(dir, "roomcast-*.tgz"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

func npm(t *testing.T, dir string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CI=1", "NEXT_TELEMETRY_DISABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm %v: %v\n%s", args, err, out)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// showMessages serves a built app in a world of its own, and reads and writes with it.
func showMessages(t *testing.T, dir string) {
	w := newWorld(t)
	w.mux.Handle("GET /app/", http.StripPrefix("/app/", http.FileServer(http.Dir(dir))))
	ctx := chromiumtest.Start(t, 800, 600)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	address := w.url + "/app/?" + url.Values{"room": {"r"}, "pusher": {w.wire.addr()}, "key": {w.pusher.Config().Key}}.Encode()
	do := func(actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatal(err)
		}
	}
	shows := func(want string) chromedp.Action[chromedp.Void] {
		return chromedp.Poll[chromedp.Void](fmt.Sprintf(`[...document.querySelectorAll('li.sent')].map((li) => li.textContent).join() === %q`, want))
	}
	do(chromedp.Navigate(address), chromedp.Poll[chromedp.Void](`document.querySelector('main')?.dataset.status === 'ready' && document.querySelector('main').dataset.connection === 'live'`))
	for w.requests("GET /rooms/{room}/events") == 0 { // where the room is: from here on it hears
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the room is not live")
		}
	}
	if _, err := w.commit(order{Room: "r", N: 2, Every: 5}); err != nil {
		t.Fatal(err)
	}
	do(shows("1,2"), chromedp.Poll[chromedp.Void](`document.querySelector('main').dataset.mode === 'both'`), chromedp.Click(chromedp.CSS("button")), shows("1,2,from the app"))
}

func sortLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func (w *world) requests(route string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts[route]
}
