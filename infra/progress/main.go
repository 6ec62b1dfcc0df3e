// Command progress runs go test on many packages and says at once what each came to, in
// the order in which they end; go test itself holds a result back until those of all
// packages named before are there. What passes is a line, of what fails the failed tests
// are shown whole, and what was skipped loudly is repeated. It ends with the tests that
// took longest, and with how many there were.
//
//	go run ./infra/progress [flags and packages of go test]
package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "progress:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its tests
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // which -race needs
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	read := follow(events, newReport(out), time.Tick(quietFor))
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return read
}

// quietFor is how often it says what is running.
const quietFor = 20 * time.Second

// event is a line of go test -json.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// follow reads events to their end.
func follow(events io.Reader, r *report, ticks <-chan time.Time) error {
	lines, failed := make(chan []byte), make(chan error, 1)
	go func() {
		defer close(lines)
		scan := bufio.NewScanner(events)
		scan.Buffer(nil, 16<<20)
		for scan.Scan() {
			lines <- slices.Clone(scan.Bytes())
		}
		failed <- scan.Err()
	}()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				r.end()
				return <-failed
			}
			var e event
			if json.Unmarshal(line, &e) != nil {
				e = event{Action: "output", Output: string(line) + "\n"} // go test's own words
			}
			r.take(e)
		case <-ticks:
			r.running()
		}
	}
}

// report is what has been said so far.
type report struct {
	out    io.Writer
	began  time.Time
	output map[string][]event // by package, until it ends
	tests  map[string]bool    // top-level tests under way, by package and test
	failed map[string]bool    // top-level tests, likewise
	took   []event            // top-level tests that have ended
}

func newReport(out io.Writer) *report {
	return &report{out: out, began: time.Now(), output: map[string][]event{}, tests: map[string]bool{}, failed: map[string]bool{}}
}

func (r *report) say(format string, args ...any) {
	fmt.Fprintf(r.out, "test %4.0fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// mostOutput bounds what is kept of a package, in lines.
const mostOutput = 20_000

func (r *report) take(e event) {
	name := cmp.Or(e.Package, e.ImportPath)
	switch {
	case e.Action == "output" || e.Action == "build-output":
		if name == "" {
			fmt.Fprint(r.out, e.Output)
		} else if len(r.output[name]) < mostOutput {
			r.output[name] = append(r.output[name], e)
		}
	case (e.Action == "run" || e.Action == "cont") && !strings.Contains(e.Test, "/"):
		r.tests[key(e)] = true
	case e.Action == "pause": // until those that are not parallel have ended
		delete(r.tests, key(e))
	case e.Test != "" && ends(e.Action):
		delete(r.tests, key(e))
		if !strings.Contains(e.Test, "/") {
			r.took = append(r.took, e)
			r.failed[key(e)] = e.Action == "fail"
		}
	case e.Action == "build-fail" || e.Test == "" && ends(e.Action):
		r.ended(name, e)
	}
}

func key(e event) string { return strings.TrimPrefix(e.Package, "roomcast/") + " " + e.Test }

func ends(action string) bool { return action == "pass" || action == "fail" || action == "skip" }

// ended says what a package came to.
func (r *report) ended(name string, e event) {
	output := r.output[name]
	delete(r.output, name)
	switch e.Action {
	case "fail", "build-fail":
		r.say("FAIL %s (%.1f s)", name, e.Elapsed)
		for _, line := range output {
			if r.matters(line) {
				fmt.Fprint(r.out, line.Output)
			}
		}
	case "pass":
		r.say("ok   %s (%.1f s)", name, e.Elapsed)
		for _, line := range output {
			if strings.HasPrefix(line.Output, "SKIPPED ") || strings.Contains(line.Output, "NOT TESTED") {
				fmt.Fprint(r.out, line.Output)
			}
		}
	}
	maps.DeleteFunc(r.tests, func(k string, _ bool) bool { return strings.HasPrefix(k, strings.TrimPrefix(name, "roomcast/")+" ") })
}

// matters tells what belongs to a failed package from what its other tests said: a test
// that failed, one that never ended, and what no test has said.
func (r *report) matters(line event) bool {
	line.Test, _, _ = strings.Cut(line.Test, "/")
	return line.Test == "" || r.failed[key(line)] || r.tests[key(line)]
}

// running says what has begun and not ended.
func (r *report) running() {
	if len(r.tests) == 0 {
		r.say("compiling")
		return
	}
	under := slices.Sorted(maps.Keys(r.tests))
	more := ""
	if most := 8; len(under) > most {
		under, more = under[:most], fmt.Sprintf(" and %d more", len(under)-most)
	}
	r.say("running: %s%s", strings.Join(under, ", "), more)
}

// end names the tests that took longest, and counts all.
func (r *report) end() {
	slices.SortFunc(r.took, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range r.took[:min(len(r.took), 10)] {
		r.say("%5.1f s %s", e.Elapsed, key(e))
	}
	count := map[string]int{}
	for _, e := range r.took {
		count[e.Action]++
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", count["pass"], count["fail"], count["skip"])
}
