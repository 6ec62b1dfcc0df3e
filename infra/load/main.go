// Command load measures Roomcast on this machine, each figure beside something in
// the same run: the least Go program for the same hop (peers/), or an Express
// worker with the official pusher library where Node is there.
//
//	go run ./infra/load [-only name,…] [-quick] [-within time] [-markdown] [-cpuprofile dir] [-memprofile dir]
//	go run ./infra/load -only growth [-reduced] -plot file
//
// It needs Postgres' server programs, and Chromium for one scenario. It says on standard error what it does, and
// ends with a table on standard output. A target that is missed is a line in that
// table, no failure: figures depend on the machine.
//
// Each scenario bounds itself in counts and time: on a busy machine it ends with fewer
// rounds. What -within leaves no time for is a line that says so. Hot functions have
// micro-benchmarks beside them: `task bench:micro` keeps ten runs of each, `task
// bench:compare` has benchstat compare them with the ones kept before.
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
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1)
	}
}

// scenario is one thing to measure, on a fresh copy of the chat's database.
type scenario struct {
	name string
	run  func(context.Context, *lab, *database)
	long time.Duration // only when asked for, with a limit of its own; 0 for the usual
}

// scenarios in the order of the README's table.
func scenarios() []scenario {
	return []scenario{
		{name: "latency", run: latency},
		{name: "network", run: network},
		{name: "screen", run: onScreen},
		{name: "asleep", run: asleep},
		{name: "wakeups", run: wakeups},
		{name: "drain", run: drain},
		{name: "counting", run: counting},
		{name: "wide", run: wide},
		{name: "relays", run: relays},
		{name: "slow", run: slow},
		{name: "hot", run: hotRoom},
		{name: "packed", run: packed},
		{name: "forward", run: forward},
		{name: "authorize", run: authorization},
		{name: "storm", run: storm},
		{name: "trigger", run: triggerCost},
		{name: "chats", run: chatCosts},
		{name: "start", run: startUp},
		{name: "killed", run: killed},
		{name: "large", run: large},
		{name: "retention", run: retention},
		{name: "smallest", run: smallest},
		{name: "growth", run: growth, long: time.Hour},
		{name: "snapshot", run: heldSnapshot, long: time.Hour},
		{name: "burst", run: burst, long: time.Hour},
		{name: "restored", run: restored, long: 10 * time.Minute},
	}
}

const (
	// scenarioLimit ends a scenario that hangs.
	scenarioLimit = 4 * time.Minute
	// scenarioUsual is as long as any takes, if nothing hangs.
	scenarioUsual = 2 * time.Minute
	// runLimit is how long all may take together.
	runLimit = 25 * time.Minute
)

type options struct {
	only                   []string
	quick, markdown        bool
	reduced                bool // growth at smaller scales
	within                 time.Duration
	cpuProfile, memProfile string
	plot                   string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "measure only these, by `name,…`: "+strings.Join(names(), ", "))
	flags.BoolVar(&o.quick, "quick", false, "small counts and short times: shows that all works, not how fast it is")
	flags.BoolVar(&o.markdown, "markdown", false, "write the README's table")
	flags.BoolVar(&o.reduced, "reduced", false, "growth at smaller scales; the plot says which")
	flags.DurationVar(&o.within, "within", runLimit, "begin no scenario that may not end within this `time`, unless it is asked for by -only")
	flags.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile of each measured function into this `directory`")
	flags.StringVar(&o.memProfile, "memprofile", "", "write a heap profile of each measured function into this `directory`")
	flags.StringVar(&o.plot, "plot", "", "draw what growth found into this SVG `file`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return o, fmt.Errorf("-only: there is no %q, but %s", name, strings.Join(names(), ", "))
		}
	}
	return o, nil
}

func names() []string {
	var out []string
	for _, s := range scenarios() {
		out = append(out, s.name)
	}
	return out
}

// run measures and writes the table. A scenario that cannot be run does not keep
// the others from it; its error comes last.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	opts, err := parse(args, stderr)
	if err != nil {
		return err
	}
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(stderr, "%4.0fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	lab, err := openLab(ctx, opts, say)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.close()) }()
	about, err := lab.machine(ctx)
	if err != nil {
		return err
	}
	lab.about = about
	report := report{machine: about, quick: opts.quick, profiled: lab.profiles()}
	var faults []error
	for _, s := range scenarios() {
		chosen := slices.Contains(opts.only, s.name) || len(opts.only) == 0 && s.long == 0
		if !chosen || ctx.Err() != nil {
			continue
		}
		if len(opts.only) == 0 && time.Since(began) > opts.within-scenarioUsual {
			lab.found(result{what: s.name, reached: "not measured", note: "No time was left: run it with -only " + s.name + "."})
			continue
		}
		say("%s", s.name)
		if err := lab.measure(ctx, s); err != nil {
			say("%s: %v", s.name, err)
			faults = append(faults, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	report.results, report.took = lab.results, time.Since(began)
	if opts.markdown {
		report.markdown(stdout)
	} else {
		report.text(stdout)
	}
	return errors.Join(faults...)
}

// measure runs one scenario under its limit.
func (l *lab) measure(ctx context.Context, s scenario) error {
	ctx, cancel := context.WithTimeout(ctx, max(scenarioLimit, s.long))
	defer cancel()
	defer l.sink.reset()
	err := attempt(func() {
		l.with(ctx, func(db *database) { s.run(ctx, l, db) })
	})
	return errors.Join(err, l.stopPrograms())
}
