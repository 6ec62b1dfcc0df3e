package outboxtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"roomcast/shared/outbox/outboxtest/servers"
)

// ErrNoPostgres says that no Postgres server programs (15 or later) are installed.
var ErrNoPostgres = errors.New("no Postgres server programs found (go run ./infra/prepare, or set POSTGRES_BIN)")

// oldest is the first major version that the outbox supports.
const oldest = 15

// FindBin returns the directory with initdb and postgres: the environment's
// POSTGRES_BIN if set; else of the version in POSTGRES_VERSION, such as 17, or of the
// newest, what the system has in the usual places, else what came from npm.
func FindBin() (string, error) {
	if bin := os.Getenv("POSTGRES_BIN"); bin != "" {
		if !complete(bin) {
			return "", fmt.Errorf("POSTGRES_BIN=%s: %w", bin, ErrNoPostgres)
		}
		return bin, nil
	}
	version := 0
	if v := os.Getenv("POSTGRES_VERSION"); v != "" {
		var err error
		if version, err = strconv.Atoi(v); err != nil {
			return "", fmt.Errorf("POSTGRES_VERSION=%s: must be a major version", v)
		}
	}
	found, err := installed()
	if err != nil {
		return "", err
	}
	found = slices.DeleteFunc(found, func(bin string) bool {
		m := major(bin)
		return m < oldest || version != 0 && m != version
	})
	if len(found) > 0 {
		return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(major(a), major(b)) }), nil
	}
	bin, err := servers.Find(cmp.Or(version, servers.Default))
	if err != nil {
		return "", errors.Join(ErrNoPostgres, err)
	}
	return bin, nil
}

// installed returns the directories of the system's own server programs. Debian keeps
// them off the PATH, one directory for each major version.
func installed() ([]string, error) {
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                               // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                        // Red Hat
		"/opt/homebrew/opt/postgresql@*/bin",                      // macOS on ARM
		"/usr/local/opt/postgresql@*/bin",                         // macOS on Intel
		"/Applications/Postgres.app/Contents/Versions/[0-9]*/bin", // Postgres.app
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("pattern %s: %w", pattern, err)
		}
		found = append(found, dirs...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append(found, filepath.Dir(path))
	}
	return slices.DeleteFunc(found, func(bin string) bool { return !complete(bin) }), nil
}

// complete reports whether bin holds the two programs a cluster needs.
func complete(bin string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(bin, name)); err != nil {
			return false
		}
	}
	return true
}

// major asks the server program for its major version; 0 if it does not say.
func major(bin string) int {
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0
	}
	// "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
	_, version, _ := strings.Cut(string(out), ") ")
	digits := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 1 {
		return 0
	}
	n, err := strconv.Atoi(version[:digits])
	if err != nil {
		return 0
	}
	return n
}
