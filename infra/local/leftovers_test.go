package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/outbox/outboxtest"
)

// TestNothingIsLeft starts the stack as a program, by `go run` and by itself, ends what
// started it in one way and another, and waits until its Postgres, its function and all
// that it put into the temporary folder are gone.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	_, err := outboxtest.FindBin()
	need(t, err)
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "local")
	build := exec.Command("go", "build", "-o", binary, "./infra/local")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, tc := range []struct {
		name    string
		command []string
		signal  os.Signal
	}{
		{"interrupted", []string{binary}, os.Interrupt},
		{"killed", []string{binary}, os.Kill},
		{"its go run terminated", []string{"go", "run", "./infra/local"}, syscall.SIGTERM},
		{"its go run killed", []string{"go", "run", "./infra/local"}, os.Kill},
	} {
		t.Run(tc.name, func(t *testing.T) {
			temp := t.TempDir()
			for _, dir := range []string{temp, filepath.Dir(temp)} { // as root, Postgres runs as another user
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(tc.command[0], tc.command[1:]...)
			cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0", "TMPDIR="+temp, "GOTMPDIR="+t.TempDir())
			database := untilReady(t, cmd)
			if err := cmd.Process.Signal(tc.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // what it left is the question
			await(t, "an empty temporary folder", func() bool {
				left, err := os.ReadDir(temp)
				return err == nil && len(left) == 0
			})
			await(t, "the end of Postgres", func() bool {
				conn, err := pgx.Connect(t.Context(), database)
				if err == nil {
					conn.Close(t.Context())
				}
				return errors.Is(err, syscall.ECONNREFUSED)
			})
		})
	}
}

// untilReady starts the program and returns the database it prints.
func untilReady(t *testing.T, cmd *exec.Cmd) (database string) {
	t.Helper()
	out, write, err := os.Pipe() // not StdoutPipe: Wait must not wait for grandchildren
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	cmd.Stdout, cmd.Stderr = write, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() { out.Close() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url, found := strings.CutPrefix(lines.Text(), "DATABASE_URL="); found {
			database = url
		}
		if lines.Text() == "ready" {
			return database
		}
	}
	t.Fatal("it ended before it was ready")
	return ""
}

// await looks again and again: of the end of another's child nothing tells.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("no %s", strings.TrimPrefix(what, "the "))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
