package pushertest

import (
	"os"
	"os/exec"
	"path/filepath"
)

// TB is the part of testing.TB that this package needs of all tests, so that the local stack, which uses
// it too, is not linked with package testing.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Start is [New] for a test, until its end.
func Start(tb interface {
	TB
	Cleanup(func())
}, opts Options) *Server {
	tb.Helper()
	s, err := New(opts)
	if err != nil {
		tb.Fatalf("pushertest: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// NodeModules returns the directory of the npm packages that tests run against (pusher-js,
// pusher, @supabase/supabase-js), installed by `npm ci` in shared/browser. Without them, or
// without node, the test is skipped; with CI=true it fails, so that nobody takes a skipped
// test for a passed one.
func NodeModules(tb TB) string {
	tb.Helper()
	giveUp := tb.Skipf
	if os.Getenv("CI") == "true" {
		giveUp = tb.Fatalf
	}
	if _, err := exec.LookPath("node"); err != nil {
		giveUp("NOT TESTED against the real npm packages: %v", err)
		return ""
	}
	root, err := moduleRoot()
	if err != nil {
		giveUp("NOT TESTED against the real npm packages: %v", err)
		return ""
	}
	dir := filepath.Join(root, "shared", "browser", "node_modules")
	for _, name := range []string{"pusher-js", "pusher"} {
		if _, err := os.Stat(filepath.Join(dir, name, "package.json")); err != nil {
			giveUp("NOT TESTED against the real npm packages: run `npm ci` in shared/browser (%v)", err)
			return ""
		}
	}
	return dir
}

// moduleRoot is the nearest directory above the test's own with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", os.ErrNotExist
		}
		dir = parent
	}
}
