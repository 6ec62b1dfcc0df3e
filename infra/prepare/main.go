// Command prepare installs what the tests need beyond Go: Postgres' server programs, those of
// other versions, PgBouncer, plpgsql_check, promtool, Chromium, Node and the npm
// packages. Where it may (root on a Debian) it installs what is missing; elsewhere it
// says what to install, and the tests that need it are skipped, loudly, or fail with
// CI=true.
//
//	go run ./infra/prepare                      what `task check` needs
//	go run ./infra/prepare -postgres '15 16'    and these versions, for `task check:postgres`
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/servers"
)

func main() {
	versions := flag.String("postgres", "", "install these major `versions` of Postgres from npm, too")
	flag.Parse()
	if err := run(context.Background(), *versions); err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		os.Exit(1)
	}
}

// need is one thing the tests use.
type need struct {
	what    string
	present func() bool
	debian  []string // the packages that bring it
}

func needs() []need {
	return []need{
		{"Postgres' server programs", func() bool { return exists("/usr/lib/postgresql/*/bin/postgres") || onPath("postgres") }, []string{"postgresql"}},
		{"PgBouncer", func() bool { return outboxtest.FindPgBouncer() != "" }, []string{"pgbouncer"}},
		{"promtool", func() bool { return onPath("promtool") }, []string{"prometheus"}},
		{"Chromium", func() bool { return onPath("chromium", "chromium-browser", "google-chrome") }, []string{"chromium"}},
		{"Node and npm", func() bool { return onPath("node") && onPath("npm") }, []string{"nodejs", "npm"}},
	}
}

// plpgsqlCheck is named after the version of Postgres that the system has.
func plpgsqlCheck() (need, bool) {
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well formed
	if len(bins) == 0 {
		return need{}, false
	}
	version := filepath.Base(filepath.Dir(bins[len(bins)-1]))
	return need{"plpgsql_check", func() bool {
		return exists("/usr/share/postgresql/" + version + "/extension/plpgsql_check.control")
	}, []string{"postgresql-" + version + "-plpgsql-check"}}, true
}

func exists(pattern string) bool {
	found, err := filepath.Glob(pattern)
	return err == nil && len(found) > 0
}

func onPath(names ...string) bool {
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			return true
		}
	}
	return false
}

func run(ctx context.Context, versions string) error {
	if err := require(ctx, needs()...); err != nil {
		return err
	}
	if n, found := plpgsqlCheck(); found {
		if err := require(ctx, n); err != nil {
			fmt.Println("prepare:", err) // not every system packages it
		}
	}
	if err := npm(ctx); err != nil || !onPath("npm") {
		return err
	}
	for _, version := range append(strings.Fields(versions), strconv.Itoa(servers.Default)) {
		major, err := strconv.Atoi(version)
		if err != nil {
			return fmt.Errorf("-postgres %s: must be major versions", versions)
		}
		if _, err := servers.Find(major); err == nil {
			continue
		}
		fmt.Printf("prepare: Postgres %d from npm\n", major)
		if _, err := servers.Install(ctx, major); err != nil {
			return err
		}
	}
	return nil
}

// require installs what is missing where it may, and says what still is.
func require(ctx context.Context, needs ...need) error {
	var missing []need
	var packages []string
	for _, n := range needs {
		if !n.present() {
			missing = append(missing, n)
			packages = append(packages, n.debian...)
		}
	}
	if len(missing) > 0 {
		if err := install(ctx, packages); err != nil {
			return err
		}
	}
	for _, n := range missing {
		if !n.present() {
			fmt.Printf("prepare: %s missing; on Debian: apt-get install %s\n", n.what, strings.Join(n.debian, " "))
		}
	}
	return nil
}

// install asks Debian for packages, if this is root on a Debian.
func install(ctx context.Context, packages []string) error {
	if os.Geteuid() != 0 || !onPath("apt-get") {
		return nil // said afterwards, for each
	}
	if err := step(ctx, "apt-get update", "", "apt-get", "update", "-q"); err != nil {
		return err
	}
	args := append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)
	return step(ctx, "apt-get install "+strings.Join(packages, " "), "", "apt-get", args...)
}

// npm installs the locked packages, unless they are there already.
func npm(ctx context.Context) error {
	dir := filepath.Join("shared", "browser")
	lock, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return fmt.Errorf("run this from the top of the repository: %w", err)
	}
	done, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && !done.ModTime().Before(lock.ModTime()) || !onPath("npm") {
		return nil
	}
	return step(ctx, "npm ci in "+dir, dir, "npm", "ci", "--no-audit", "--no-fund")
}

// step runs a command quietly, saying what it does and, while it takes long, that
// it is still at it. Its output is shown if it fails.
func step(ctx context.Context, what, dir, name string, args ...string) error {
	fmt.Println("prepare:", what)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- cmd.Run() }()
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", what, err, out.Bytes())
			}
			return nil
		case <-tick.C:
			fmt.Printf("prepare: %s, %d s so far\n", what, int(time.Since(start).Seconds()))
		}
	}
}
