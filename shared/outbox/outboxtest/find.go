package outboxtest

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrNoPostgres says that no Postgres server programs (15 or later) are installed.
var ErrNoPostgres = errors.New("no Postgres server programs found (apt-get install postgresql, or set POSTGRES_BIN)")

// oldest is the first major version that the outbox supports.
const oldest = 15

// FindBin returns the directory with initdb and postgres: the environment's
// POSTGRES_BIN if set, else the newest of the usual places. Debian keeps the
// server programs off the PATH, one directory for each major version.
func FindBin() (string, error) {
	if bin := os.Getenv("POSTGRES_BIN"); bin != "" {
		if !complete(bin) {
			return "", fmt.Errorf("POSTGRES_BIN=%s: %w", bin, ErrNoPostgres)
		}
		return bin, nil
	}
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
			return "", fmt.Errorf("pattern %s: %w", pattern, err)
		}
		found = append(found, dirs...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append(found, filepath.Dir(path))
	}
	found = slices.DeleteFunc(found, func(bin string) bool { return !complete(bin) || major(bin) < oldest })
	if len(found) == 0 {
		return "", ErrNoPostgres
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(major(a), major(b)) }), nil
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

// account is the operating system's user that runs the server; nil means our own.
type account struct{ uid, gid int }

// serverAccount picks the user for the server. Postgres refuses to run as root.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &account{uid, gid}, nil
	}
	return nil, errors.New("running as root, and neither user postgres nor nobody exists to run Postgres as")
}

// own gives a file or directory to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("owner of %s: %w", path, err)
	}
	return nil
}

// attributes starts a child as the account, in a session of its own: a Ctrl-C
// in the terminal then reaches only us, and we stop the server in good order.
func (a *account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}
