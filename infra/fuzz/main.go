// Command fuzz runs fuzz targets, one after the other, and says what each came to. An input
// that fails is kept by go test as a case in the package's testdata, and printed, so that it
// is not lost with the machine.
//
//	go run ./infra/fuzz [-fuzztime 1m] [-parallel n] [-list] [pattern]
//
// pattern is one target, such as shared/token.FuzzClaims, or a regular expression over them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	flags.SetOutput(out)
	f := fuzzer{out: out}
	flags.StringVar(&f.dir, "C", ".", "the module's `directory`")
	flags.DurationVar(&f.time, "fuzztime", time.Minute, "how long to fuzz each target")
	flags.IntVar(&f.parallel, "parallel", 0, "processes of each; 0: as many as there are processors")
	list := flags.Bool("list", false, "print the targets as a JSON list, for a matrix of jobs")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(flags.Arg(0))
	if err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	targets, err := find(ctx, f.dir, wanted)
	switch {
	case err != nil:
		return err
	case len(targets) == 0:
		return errors.New("no such target")
	case slices.Contains(targets, target(flags.Arg(0))):
		targets = []target{target(flags.Arg(0))}
	}
	if *list {
		return json.NewEncoder(out).Encode(targets)
	}
	failed := 0
	for _, t := range targets {
		if !f.fuzz(ctx, t) {
			failed++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d targets failed", failed, len(targets))
	}
	return nil
}
