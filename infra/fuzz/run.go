package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// fuzzer runs targets.
type fuzzer struct {
	dir      string // the module's
	time     time.Duration
	parallel int
	out      io.Writer
}

var (
	progress = regexp.MustCompile(`(?m)^fuzz: elapsed: .*$`)
	execs    = regexp.MustCompile(`execs: (\d+)`)
	kept     = regexp.MustCompile(`Failing input written to (\S+)`)
)

// fuzz runs one target and prints what it came to, or how it failed.
func (f fuzzer) fuzz(ctx context.Context, t target) (good bool) {
	pkg, name := t.split()
	args := []string{"test", "-timeout", "0", "-run", "^$", "-fuzz", "^" + name + "$", "-fuzztime", f.time.String()}
	if f.parallel > 0 {
		args = append(args, "-parallel", strconv.Itoa(f.parallel))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its workers
	cmd.WaitDelay = 10 * time.Second
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = f.dir, &said, &said
	err := cmd.Run()

	n := 0
	if last := progress.FindAllString(said.String(), -1); len(last) > 0 {
		if m := execs.FindStringSubmatch(last[len(last)-1]); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
	}
	var cpu time.Duration
	if state := cmd.ProcessState; state != nil {
		cpu = state.UserTime() + state.SystemTime()
	}
	good = err == nil || isLateEnd(said.String())
	word := map[bool]string{true: "ok  ", false: "FAIL"}[good]
	fmt.Fprintf(f.out, "%s %-45s %10d executions, %.0f s of CPU\n", word, t, n, cpu.Seconds())
	if !good && ctx.Err() == nil {
		f.show(pkg, said.String())
	}
	return good
}

// isLateEnd: at the end of its time go test, before 1.27, may call the end of the time a
// failure (golang/go issue 75804).
func isLateEnd(said string) bool {
	return strings.Contains(said, "context deadline exceeded") && !kept.MatchString(said) && !strings.Contains(said, "panic:")
}

// show prints what a failed run said, and the input that it kept.
func (f fuzzer) show(pkg, said string) {
	fmt.Fprintln(f.out, strings.TrimSpace(progress.ReplaceAllString(said, "")))
	for _, m := range kept.FindAllStringSubmatch(said, -1) {
		file := filepath.Join(f.dir, pkg, m[1])
		if text, err := os.ReadFile(file); err == nil {
			fmt.Fprintf(f.out, "%s:\n%s", filepath.ToSlash(file), text)
		}
	}
}
