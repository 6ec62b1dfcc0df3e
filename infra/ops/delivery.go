package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
	"roomcast/shared/outbox"
)

// setUpDelivery prints how messages reach pages, by hour, as a sample of the pages tells:
// the same as GET /parity?report=delivery, read from the database. Exit status 1 says that
// more than one message in a thousand came late.
func setUpDelivery(flags *flag.FlagSet) func(context.Context, *call) (int, error) {
	hours := flags.Int("hours", 24, "how far back, up to 336 `hours`")
	return func(ctx context.Context, c *call) (int, error) {
		switch {
		case len(c.args) > 0 || *hours < 1 || *hours > 336:
			return exitFailed, errUsage
		case c.ownerURL() == "":
			return exitFailed, errNoDatabase
		}
		db, err := outbox.Open(c.ownerURL(), 1, outbox.WithCA(c.DatabaseCA))
		if err != nil {
			return exitFailed, err
		}
		defer db.Close()
		report, err := parity.CompileDelivery(ctx, audit.Store{DB: db}, *hours, time.Now())
		if err != nil {
			return exitFailed, fmt.Errorf("delivery: %w", err)
		}
		_, good := report.Title()
		return c.print(report, good)
	}
}
