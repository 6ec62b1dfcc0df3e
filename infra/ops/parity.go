package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
	"roomcast/shared/outbox"
)

// setUpParity prints the parity report of the dual run, read from the database: the same
// as GET /parity, with the same parameters in one argument, and without the function. Exit status 1 says that it is not yet safe to cut over.
func setUpParity(*flag.FlagSet) func(context.Context, *call) (int, error) {
	return func(ctx context.Context, c *call) (int, error) {
		if len(c.args) > 1 {
			return exitFailed, errUsage
		}
		if c.ownerURL() == "" {
			return exitFailed, errNoDatabase
		}
		query := ""
		if len(c.args) == 1 {
			query = c.args[0]
		}
		ask, err := parity.ParseAsk(query)
		if err != nil {
			return exitFailed, err
		}
		db, err := outbox.Open(c.ownerURL(), 1, outbox.WithCA(c.DatabaseCA))
		if err != nil {
			return exitFailed, err
		}
		defer db.Close()
		report, err := parity.Compile(ctx, audit.Store{DB: db}, ask, time.Now())
		if err != nil {
			return exitFailed, fmt.Errorf("parity: %w", err)
		}
		return certify(c, report)
	}
}

func certify(c *call, report *parity.Report) (int, error) {
	code := exitWarning
	if report.Verdict.Safe {
		code = exitOK
	}
	if c.out.json {
		return code, c.out.encode(report)
	}
	var text strings.Builder
	err := report.WriteText(&text)
	c.out.text(text.String())
	return code, err
}
