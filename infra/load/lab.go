package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"roomcast/infra/child"
	"roomcast/shared/outbox/outboxtest"
)

// lab is what scenarios measure with: a durable Postgres, the sink, and programs
// built on first use. All of it ends with close.
type lab struct {
	options
	say      func(format string, args ...any)
	about    machine
	root     string // of the module
	dir      string // for programs and their logs
	postgres *outboxtest.Server
	sink     *sink

	binaries  map[string]string // by package
	programs  []*program        // started by the current scenario
	databases int               // made so far
	profiled  int               // functions started so far that write profiles
	limits    *cgroup           // of the functions started; nil for none

	claims claimTimes // of those that Postgres logs

	results []result // found so far
}

func openLab(ctx context.Context, opts options, say func(string, ...any)) (_ *lab, err error) {
	l := &lab{options: opts, say: say, binaries: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("module: %w", err)
	}
	l.root = filepath.Dir(strings.TrimSpace(string(mod)))
	if l.dir, err = os.MkdirTemp("", "roomcast-load-"); err != nil {
		return nil, err
	}
	if l.sink, err = openSink(); err != nil {
		return nil, err
	}
	say("starting Postgres")
	// Durable: a commit that need not reach the disk would flatter everybody.
	if l.postgres, err = outboxtest.StartPostgres(ctx, outboxtest.Options{Durable: true, Log: l.claims.line}); err != nil {
		return nil, err
	}
	return l, attempt(func() { during("the chat's template", func() { l.makeTemplate(ctx) }) })
}

func (l *lab) close() error {
	err := l.stopPrograms()
	if l.postgres != nil {
		err = errors.Join(err, l.postgres.Stop())
	}
	if l.sink != nil {
		err = errors.Join(err, l.sink.close())
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// found adds lines to the table.
func (l *lab) found(results ...result) {
	for _, r := range results {
		l.say("  %s: %s", r.what, r.reached)
	}
	l.results = append(l.results, results...)
}

// pick is full, or small with -quick.
func (l *lab) pick(full, small int) int {
	if l.quick {
		return small
	}
	return full
}

// binary builds a package of this module, once.
func (l *lab) binary(ctx context.Context, pkg string) string {
	if path, ok := l.binaries[pkg]; ok {
		return path
	}
	path := filepath.Join(l.dir, filepath.Base(pkg))
	args := []string{"build", "-tags", child.FunctionTags, "-trimpath", "-ldflags", "-s -w", "-o", path}
	if l.profiles() && pkg == functionPackage {
		args = append(args, "-overlay", l.profilingOverlay())
	}
	check(l.command(ctx, l.root, "go", append(args, "./"+pkg)...))
	l.binaries[pkg] = path
	return path
}

// command runs a program to its end, and shows what it wrote only if it fails.
func (l *lab) command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as task build does
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, out)
	}
	return nil
}

// output runs a program with this environment to its end and returns what it printed. A
// status other than 0 is an answer, too: doctor's is what it found.
func (l *lab) output(ctx context.Context, env []string, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
		check(err)
	}
	return string(out)
}
