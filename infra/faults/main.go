// Command faults breaks Roomcast in every way that the design names, on this machine and
// with real processes, and counts lost, repeated and reordered messages.
//
//	go run ./infra/faults [-short] [-seed N [-seeds N]] [-only name] [-markdown] [-packed] [-v] [-owner]
//
// It runs a real Postgres, two relays (the function's own binary), the Pusher
// emulator, what stands in for pg_net and pg_cron, and writers that keep a ledger
// of their own outside the database. One fault after another is brought about and
// lifted; then ledger and emulator are compared. The run fails if a message is lost
// or out of order, or if the system needs longer to heal than a claim's lease and a
// sweep.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

type options struct {
	short     bool
	seed      uint64
	seeds     int
	only      string
	markdown  bool
	packed    bool
	verbose   bool
	owner     bool
	upgradeTo string
	timing    timing
}

// timing is how patient the parts are. The full form runs with what the function
// and roomcast.configure use by themselves; the short one cannot wait so long.
type timing struct {
	lease time.Duration // CLAIM_LEASE
	sweep time.Duration // pg_cron's schedule
	slack time.Duration // for a machine with other things to do
}

// heal is how long a healed system may need to send what waits.
func (t timing) heal() time.Duration { return t.lease + t.sweep + t.slack }

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{timing: timing{lease: 4 * time.Second, sweep: 10 * time.Second, slack: 12 * time.Second}}
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.short, "short", false, "half of the faults, with a short lease and sweep; under a minute")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of all that is random")
	flags.IntVar(&o.seeds, "seeds", 1, "run so many times, with the seeds from -seed on; the table has the worst of each fault")
	flags.StringVar(&o.only, "only", "", "only the faults whose name contains this, or one of several between |; or not what follows a !")
	flags.BoolVar(&o.markdown, "markdown", false, "print the table as Markdown")
	flags.BoolVar(&o.packed, "packed", false, "rooms are heard by packed channels, whose larger packs the emulator refuses like poison")
	flags.BoolVar(&o.owner, "owner", false, "instead of all this, five minutes of a hostile owner of the chat's tables")
	flags.StringVar(&o.upgradeTo, "upgrade-to", "", "the directory of another major version's programs, pg_upgrade among them")
	flags.BoolVar(&o.verbose, "v", false, "show the logs of relays and Postgres")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.seeds < 1 {
		return o, fmt.Errorf("-seeds: %d is no number of runs", o.seeds)
	}
	if o.short {
		o.timing.lease, o.timing.sweep = 2*time.Second, time.Second
	}
	return o, nil
}

// errBroken is what the run ends with when a promise was not kept; the table and
// the lines below it say which.
var errBroken = errors.New("a promise was broken")

// run brings about the chosen faults and prints the table.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.owner {
		return hostileOwner(ctx, o, stdout, stderr)
	}
	chosen := choose(o)
	if len(chosen) == 0 {
		return fmt.Errorf("-only: no fault is called %q", o.only)
	}
	var results []result
	for n := range o.seeds {
		seed := o
		seed.seed += uint64(n)
		var more []result
		more, err = suffer(ctx, seed, chosen, stderr)
		results = worst(results, more, seed)
		if err != nil {
			break // the table shows what came before
		}
	}
	printTable(stdout, results, o)
	if err != nil {
		return err
	}
	for _, r := range results {
		if !r.kept() {
			return errBroken
		}
	}
	return nil
}

// suffer brings about all faults with one seed.
func suffer(ctx context.Context, o options, chosen []fault, stderr io.Writer) (results []result, err error) {
	fmt.Fprintf(stderr, "faults: seed %d, lease %s, sweep %s\n", o.seed, o.timing.lease, o.timing.sweep)
	var shared *stack
	defer func() {
		if shared != nil {
			err = errors.Join(err, shared.stop())
		}
	}()
	for _, f := range chosen {
		began := time.Now()
		r, err := f.suffered(ctx, o, &shared, stderr)
		if err != nil {
			return results, fmt.Errorf("%s: %w", f.name, err)
		}
		fmt.Fprintf(stderr, "faults: %s: %.1f s\n", f.name, time.Since(began).Seconds())
		results = append(results, r)
	}
	return results, nil
}

// suffered brings the fault about: in the shared stack, started on first use, or alone.
func (f fault) suffered(ctx context.Context, o options, shared **stack, stderr io.Writer) (_ result, err error) {
	if f.alone {
		s, err := newStack(ctx, o, f.settings, stderr)
		if err != nil {
			return result{}, err
		}
		r, err := s.suffer(ctx, f)
		return r, errors.Join(err, s.stop())
	}
	if *shared == nil {
		if *shared, err = newStack(ctx, o, nil, stderr); err != nil {
			return result{}, err
		}
	}
	return (*shared).suffer(ctx, f)
}

// choose picks the faults that a run is to have.
func choose(o options) (chosen []fault) {
	for _, f := range allFaults() {
		part, not := strings.CutPrefix(o.only, "!")
		named := slices.ContainsFunc(strings.Split(part, "|"), func(s string) bool { return strings.Contains(f.name, s) })
		if named != not && f.form.has(o.short) {
			chosen = append(chosen, f)
		}
	}
	return chosen
}
