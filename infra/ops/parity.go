package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"roomcast/functions/parity"
	"roomcast/shared/audit"
	"roomcast/shared/outbox"
)

// written is a report of parity's, for people and for machines.
type written interface{ WriteText(io.Writer) error }

// setUpParity prints the parity report of the dual run, read from the database: the same
// as GET /parity, with the same parameters in one argument, and without the function.
// Exit status 1 says that it is not yet safe to cut over.
func setUpParity(*flag.FlagSet) func(context.Context, *call) (int, error) {
	return func(ctx context.Context, c *call) (int, error) {
		return c.report(func(store audit.Store, ask parity.Ask) (written, bool, error) {
			report, err := parity.Compile(ctx, store, ask, time.Now())
			return report, err == nil && report.Verdict.Safe, err
		})
	}
}

// report compiles a report by the query of the command line and prints it.
func (c *call) report(compile func(audit.Store, parity.Ask) (written, bool, error)) (int, error) {
	if len(c.args) > 1 {
		return exitFailed, errUsage
	}
	if c.ownerURL() == "" {
		return exitFailed, errNoDatabase
	}
	ask, err := parity.ParseAsk(strings.Join(c.args, ""))
	if err != nil {
		return exitFailed, err
	}
	db, err := outbox.Open(c.ownerURL(), 1, outbox.WithCA(c.DatabaseCA))
	if err != nil {
		return exitFailed, err
	}
	defer db.Close()
	report, good, err := compile(audit.Store{DB: db}, ask)
	if err != nil {
		return exitFailed, fmt.Errorf("report: %w", err)
	}
	return c.print(report, good)
}

// print writes a report, and returns the exit status that it stands for.
func (c *call) print(report written, good bool) (int, error) {
	code := exitWarning
	if good {
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
