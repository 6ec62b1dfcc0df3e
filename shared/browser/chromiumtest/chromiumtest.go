// Package chromiumtest runs a headless Chromium for tests of pages.
package chromiumtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Find returns the path of an installed Chromium.
func Find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium: %w", exec.ErrNotFound)
}

// tempDir is Chromium's own temporary folder: it leaves more there than its profile. The
// name is short, or the paths of its sockets would be too long.
func tempDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// Start starts a Chromium with an empty profile and a window of this size, and ends
// it with the test. Where there is none the test is skipped, or fails with CI=true.
// The context it returns is chromedp's.
func Start(tb testing.TB, width, height int) context.Context {
	tb.Helper()
	_, err := Find()
	if err != nil && os.Getenv("CI") == "true" {
		tb.Fatal(err)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "NOT TESTED in a real browser: %s: %v\n", tb.Name(), err)
		tb.Skip(err)
	}
	ctx, stop, err := Launch(tb.Context(), tempDir(tb), width, height)
	tb.Cleanup(func() { _ = stop() })
	if err != nil {
		tb.Fatal(err)
	}
	return ctx
}

// Launch starts a Chromium whose files are all in a folder, with a window of this size. The
// context it returns is chromedp's; stop ends it and waits, so that the folder can be removed.
func Launch(ctx context.Context, temp string, width, height int) (_ context.Context, stop func() error, err error) {
	path, err := Find()
	if err != nil {
		return nil, func() error { return nil }, err
	}
	ctx, cancel := chromedp.NewExecAllocator(ctx, chromedp.Env("TMPDIR="+temp),
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.UserDataDir(filepath.Join(temp, "profile")), chromedp.WindowSize(width, height), chromedp.WSURLReadTimeout(time.Minute))
	ctx, end := chromedp.NewContext(ctx)
	stop = func() error {
		err := chromedp.Cancel(ctx) // waits for its end
		end()
		cancel()
		return err
	}
	return ctx, stop, chromedp.Do(ctx) // starts it; its life is that of this call's context
}
