package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"roomcast/infra/child"
	"roomcast/shared/browser/chromiumtest"
	"roomcast/shared/outbox/outboxtest"
)

// need skips the test on a laptop that lacks something, and fails in CI, where
// success must mean that it ran.
func need(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		fmt.Fprintf(os.Stderr, "SKIPPED %s: %v\n", t.Name(), err)
		t.Skip(err)
	}
}

// running is a stack under test.
type running struct {
	env    map[string]string // what it printed
	cancel context.CancelFunc
	ended  chan error
}

// startStack runs the stack until the test ends, and fails the test if a component
// died or could not be stopped.
func startStack(t *testing.T, args ...string) map[string]string {
	t.Helper()
	return untilTheEnd(t, launch(t, args...))
}

func untilTheEnd(t *testing.T, s *running) map[string]string {
	t.Cleanup(func() {
		s.cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("stack: %v", err)
		}
	})
	return s.env
}

// launch starts the stack and waits until it is ready. The caller ends it.
func launch(t *testing.T, args ...string) *running {
	t.Helper()
	return launchWith(t, nil, args...)
}

// launchWith has the function's own environment besides.
func launchWith(t *testing.T, tuned map[string]string, args ...string) *running {
	t.Helper()
	_, err := outboxtest.FindBin()
	need(t, err)
	if os.Getenv(outboxtest.PoolerVariable) != "" && !slices.Contains(args, "-postgres") {
		args = append(args, "-pooler")
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &running{env: map[string]string{}, cancel: cancel, ended: make(chan error, 1)}
	read, write := io.Pipe()
	go func() {
		s.ended <- run(ctx, args, with(tuned), write, testLog{t})
		write.Close()
	}()
	for lines := bufio.NewScanner(read); lines.Scan(); {
		if lines.Text() == "ready" {
			return s
		}
		key, value, _ := strings.Cut(lines.Text(), "=")
		s.env[key] = value
	}
	cancel()
	t.Fatalf("the stack ended before it was ready: %v", <-s.ended)
	return nil
}

// with is a caller with this environment. All tests have the function built once.
func with(tuned map[string]string) caller {
	return caller{
		lookup: func(name string) (string, bool) {
			value, found := tuned[name]
			return value, found
		},
		build: func(_ context.Context, binary string) error {
			built, err := function()
			if err != nil {
				return err
			}
			return os.Symlink(built, binary)
		},
	}
}

// function is built by the first test that starts a stack, into a folder that TestMain
// removes.
var function = sync.OnceValues(func() (binary string, err error) {
	if functionDir, err = os.MkdirTemp("", "roomcast-local-function-"); err != nil {
		return "", err
	}
	binary = filepath.Join(functionDir, "roomcast")
	return binary, child.BuildFunction(context.Background(), binary)
})

// functionDir is empty until the function is built.
var functionDir string

// testLog shows the stack's progress with the test's output.
type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) { return l.t.Output().Write(b) }

// browser starts a Chromium for the test.
func browser(t *testing.T) context.Context { return chromiumtest.Start(t, 1280, 860) }

// kill sends a signal to a process that is not ours to wait for.
func kill(pid int, sig os.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Signal(sig)
}
