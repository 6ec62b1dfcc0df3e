package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/selfcheck"
	"roomcast/shared/terminal"
)

// verdict is how a check came out.
type verdict string

const (
	good    verdict = "ok"
	warning verdict = "warning"
	failure verdict = "failure"
	skipped verdict = "skipped" // something it needs is not there
)

// finding is one result of a check.
type finding struct {
	Check   string  `json:"check"`
	Verdict verdict `json:"verdict"`
	Found   string  `json:"found"`
	Remedy  string  `json:"remedy,omitempty"`
}

// findings collects what one check finds.
type findings []finding

func (f *findings) ok(format string, args ...any) {
	*f = append(*f, finding{Verdict: good, Found: fmt.Sprintf(format, args...)})
}

func (f *findings) warn(remedy, format string, args ...any) {
	*f = append(*f, finding{Verdict: warning, Remedy: remedy, Found: fmt.Sprintf(format, args...)})
}

func (f *findings) fail(remedy, format string, args ...any) {
	*f = append(*f, finding{Verdict: failure, Remedy: remedy, Found: fmt.Sprintf(format, args...)})
}

func (f *findings) skip(format string, args ...any) {
	*f = append(*f, finding{Verdict: skipped, Found: fmt.Sprintf(format, args...)})
}

// check is one thing the doctor checks. An error means that it could not be checked.
type check struct {
	name  string
	needs need
	run   func(*doctor, context.Context, *findings) error
}

// need is what a check cannot do without.
type need int

const (
	nothing  need = iota
	database      // the owner's connection
	schema        // and Roomcast in it, as this program knows it
)

// checks lists the checks in order: each may rely on what those before it found.
func checks() []check {
	return []check{
		{"settings", nothing, (*doctor).checkSettings},
		{"database", nothing, (*doctor).checkDatabase},
		{"writes", database, (*doctor).checkWritable},
		{"connections", database, (*doctor).checkConnections},
		{"schema", database, (*doctor).checkSchema},
		{"snapshots", schema, (*doctor).checkSnapshots},
		{"tables", schema, (*doctor).checkTables},
		{"capture", schema, (*doctor).checkCapture},
		{"members", schema, (*doctor).checkMembers},
		{"can_read", schema, (*doctor).checkAccess},
		{"old webhooks", schema, (*doctor).checkOldWebhooks},
		{"relay's role", schema, (*doctor).checkRole},
		{"relay's login", schema, (*doctor).checkLogin},
		{"connection", nothing, (*doctor).checkConnection},
		{"project", nothing, (*doctor).checkProject},
		{"wake-up settings", schema, (*doctor).checkWakeupSettings},
		{"wake-up", schema, (*doctor).checkWakeup},
		{"pg_net", schema, (*doctor).checkPgNet},
		{"sweep", schema, (*doctor).checkSweep},
		{"function", nothing, (*doctor).checkFunction},
		{"its database", nothing, (*doctor).checkFunctionDatabase},
		{"outbox's app", schema, (*doctor).checkApp},
		{"its pusher", nothing, (*doctor).checkFunctionPusher},
		{"its settings", nothing, (*doctor).checkFunctionSettings},
		{"its relay", nothing, (*doctor).checkFunctionRelay},
		{"pusher", nothing, (*doctor).checkPusher},
		{"clocks", nothing, (*doctor).checkClocks},
		{"tokens", nothing, (*doctor).checkTokens},
		{"encryption", nothing, (*doctor).checkEncryption},
		{"origins", nothing, (*doctor).checkOrigins},
		{"awake lease", schema, (*doctor).checkLease},
		{"waiting", schema, (*doctor).checkWaiting},
		{"parked", schema, (*doctor).checkParked},
		{"revocations", schema, (*doctor).checkRevocations},
		{"unroutable", schema, (*doctor).checkUnroutable},
		{"audit", schema, (*doctor).checkAudit},
		{"transactions", schema, (*doctor).checkTransactions},
		{"retention", schema, (*doctor).checkRetention},
	}
}

// doctor is one round. What a check learns and others need is kept here.
type doctor struct {
	settings
	http        *http.Client
	patience    time.Duration // for one check, and for pg_net to send
	oldTx       time.Duration // a transaction that wrote rows is reported from this age on
	leaseWait   time.Duration // for a relay to take the awake lease
	event       bool          // the function is to send a test event
	only        []string      // checks that were asked for; empty: all
	oldSnapshot time.Duration // a snapshot is reported from this age on

	conn   *pgx.Conn      // the owner's; nil if it cannot be had
	op     admin.Operator // the same, for what package outbox knows
	intact bool           // the schema is there, as this program knows it
	wakeup wakeup         // where the database sends its wake-ups
	pusher pusherClock
	self   *selfcheck.Report // what the function sees; nil if it cannot be had
}

func newDoctor(s settings) *doctor {
	return &doctor{
		settings:    s,
		patience:    15 * time.Second,
		oldTx:       longTransaction,
		oldSnapshot: oldSnapshot,
		leaseWait:   5 * time.Second,
		http: &http.Client{
			Timeout: 12 * time.Second, // pg_net itself waits 10 s at most
			// pg_net follows 301 to 303 as an empty GET; a wake-up must not be redirected.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func setUpDoctor(flags *flag.FlagSet) func(context.Context, *call) (int, error) {
	event := flags.Bool("event", false, "have the function send a test event, from the outbox to Pusher (one message of the quota)")
	return func(ctx context.Context, c *call) (int, error) {
		if unknown := slices.IndexFunc(c.args, func(name string) bool { return !isCheck(name) }); unknown >= 0 {
			return exitFailed, fmt.Errorf("there is no check %q: %s", c.args[unknown], strings.Join(checkNames(), ", "))
		}
		d := newDoctor(c.settings)
		d.only = c.args
		d.event = *event
		defer d.close()
		all := d.round(ctx, func(f finding) {
			if !c.out.json {
				drawFinding(c.out, f)
			}
		})
		if c.out.json {
			if err := c.out.encode(report(all)); err != nil {
				return exitFailed, err
			}
		} else {
			drawSummary(c.out, all)
		}
		return exitOf(all), ctx.Err()
	}
}

func (d *doctor) close() {
	if d.conn != nil {
		_ = d.conn.Close(context.Background())
		d.op.Close()
	}
	d.http.CloseIdleConnections()
}

// round makes every check, and says each finding as soon as it is there.
func (d *doctor) round(ctx context.Context, say func(finding)) (all []finding) {
	for _, check := range checks() {
		if !d.wants(check.name) {
			continue
		}
		var found findings
		if missing := d.missing(check.needs); missing != "" {
			found.skip("%s", missing)
		} else {
			limited, cancel := context.WithTimeout(ctx, d.patience)
			if err := check.run(d, limited, &found); err != nil {
				found.fail("fix what the error says, then run doctor again", "could not be checked: %s", short(err))
			}
			cancel()
		}
		for _, f := range found {
			f.Check = check.name
			say(f)
			all = append(all, f)
		}
		if ctx.Err() != nil {
			return all
		}
	}
	return all
}

// wants reports whether a check is to be made: all are, or those that were asked for and
// what they stand on.
func (d *doctor) wants(name string) bool {
	base := []string{"database", "schema", "wake-up settings", "function"}
	if slices.Contains(d.only, "clocks") {
		base = append(base, "pusher") // which tells of Pusher's clock
	}
	return len(d.only) == 0 || slices.Contains(d.only, name) || slices.Contains(base, name)
}

func checkNames() (names []string) {
	for _, check := range checks() {
		names = append(names, check.name)
	}
	return names
}

func isCheck(name string) bool { return slices.Contains(checkNames(), name) }

func (d *doctor) missing(n need) string {
	switch {
	case n >= database && d.conn == nil:
		return "needs the database"
	case n >= schema && !d.intact:
		return "needs the schema"
	}
	return ""
}

// short is an error on one line.
func short(err error) string { return terminal.OneLine(err.Error()) }

// exitOf is the exit status for scripts.
func exitOf(all []finding) int {
	code := exitOK
	for _, f := range all {
		switch f.Verdict {
		case failure:
			return exitFailed
		case warning:
			code = exitWarning
		}
	}
	return code
}

// reportJSON is a round for machines.
type reportJSON struct {
	Status   int       `json:"status"` // the exit status
	Findings []finding `json:"findings"`
}

func report(all []finding) reportJSON { return reportJSON{exitOf(all), all} }

func drawFinding(out *printer, f finding) {
	mark := map[verdict]string{
		good: out.good("ok  "), warning: out.worry("WARN"), failure: out.bad("FAIL"), skipped: out.dim("skip"),
	}[f.Verdict]
	out.line("%s  %-13s  %s", mark, f.Check, f.Found)
	if f.Remedy != "" {
		out.line("%21s%s %s", "", out.bold("→"), f.Remedy)
	}
}

func drawSummary(out *printer, all []finding) {
	n := map[verdict]int64{}
	for _, f := range all {
		n[f.Verdict]++
	}
	text := fmt.Sprintf("%s, %s, %s", count(n[failure], "failure"), count(n[warning], "warning"), count(n[good], "check")+" good")
	if n[skipped] > 0 {
		text += fmt.Sprintf(", %d skipped", n[skipped])
	}
	out.line("")
	out.line("%s", text)
}

// notYet tells a query that found nothing from one that failed.
func notYet(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
