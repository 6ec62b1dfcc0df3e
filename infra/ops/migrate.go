package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"roomcast/shared/admin"
)

func setUpMigrate(flags *flag.FlagSet) func(context.Context, *call) (int, error) {
	dry := flags.Bool("dry-run", false, "only say what would be done")
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) > 0 {
			return exitFailed, errUsage
		}
		if c.ownerURL() == "" {
			return exitFailed, errNoDatabase
		}
		return migrate(ctx, c, *dry)
	}
}

// migration is what a migration did, or would do, for machines.
type migration struct {
	DryRun    bool     `json:"dry_run"`
	Applied   []string `json:"applied"`
	Functions []string `json:"functions"`
	Newer     []int    `json:"newer,omitempty"`
}

func migrate(ctx context.Context, c *call, dry bool) (int, error) {
	before, err := compare(ctx, c)
	if err != nil {
		return exitFailed, err
	}
	if len(before.Newer) > 0 {
		return exitFailed, fmt.Errorf("the database is newer than this program (version %d): use the program that migrated it", before.Newer[len(before.Newer)-1])
	}
	if !dry {
		if err := (admin.Migration{URL: c.ownerURL(), CA: c.DatabaseCA, Waiting: sayOnce(c.out)}).Run(ctx); err != nil {
			return exitFailed, err
		}
	}
	if c.out.json {
		return exitOK, c.out.encode(migration{DryRun: dry, Applied: emptied(before.Missing), Functions: emptied(before.Stale)})
	}
	did := map[bool]string{true: "would apply", false: "applied"}[dry]
	if before.None() {
		c.out.line("up to date")
		return exitOK, nil
	}
	for _, name := range before.Missing {
		c.out.line("%s %s", did, name)
	}
	if n := len(before.Stale); n > 0 {
		c.out.line("%s %s: %s", did, count(int64(n), "changed function"), strings.Join(before.Stale, ", "))
	}
	return exitOK, nil
}

// sayOnce prints who holds what a migration waits for, each time it is somebody else.
func sayOnce(out *printer) func(file, holders string) {
	last := ""
	return func(file, holders string) {
		if file+holders != last && !out.json {
			out.line("%s waits for %s", file, holders)
		}
		last = file + holders
	}
}

// emptied is a list that JSON writes as [] when there is nothing in it.
func emptied(list []string) []string { return append([]string{}, list...) }

func compare(ctx context.Context, c *call) (admin.Drift, error) {
	conn, err := c.connect(ctx, c.ownerURL())
	if err != nil {
		return admin.Drift{}, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return admin.Compare(ctx, conn)
}
