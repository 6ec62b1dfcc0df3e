package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"
)

// patience is how long a step may take before the stack says what it is doing.
const patience = 2 * time.Second

// stack is the components that run, in the order in which they started.
type stack struct {
	stderr     io.Writer
	died       chan error // the first component that ended by itself
	components []component
}

type component struct {
	name string
	stop func() error
}

func newStack(stderr io.Writer) *stack {
	return &stack{stderr: &syncWriter{w: stderr}, died: make(chan error, 1)}
}

// say writes a line for the person who watches.
func (s *stack) say(format string, args ...any) {
	fmt.Fprintf(s.stderr, "local: "+format+"\n", args...)
}

// step does something, and says what if it takes long.
func (s *stack) step(what string, do func() error) error {
	timer := time.AfterFunc(patience, func() { s.say("%s…", what) })
	defer timer.Stop()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// add remembers how to stop a component that has started.
func (s *stack) add(name string, stop func() error) {
	s.components = append(s.components, component{name, stop})
}

// fail reports that a component ended by itself; only the first report counts.
func (s *stack) fail(name string, err error) {
	select {
	case s.died <- fmt.Errorf("%s died: %w", name, err):
	default:
	}
}

// stop ends the components, last started first, and returns every error.
func (s *stack) stop() error {
	var all error
	for _, p := range slices.Backward(s.components) {
		if err := p.stop(); err != nil {
			all = errors.Join(all, fmt.Errorf("stop %s: %w", p.name, err))
		}
	}
	s.components = nil
	return all
}

// syncWriter lets several components write whole lines to one writer.
type syncWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *syncWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(b)
}

var moduleLine = regexp.MustCompile(`(?m)^module roomcast$`)

// moduleRoot finds the clone, from any directory inside it.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("module root: %w", err)
	}
	for {
		if mod, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && moduleLine.Match(mod) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("module root: run this inside a clone of Roomcast")
		}
		dir = parent
	}
}

// secret returns 192 random bits; crypto/rand.Read never fails.
func secret() string {
	b := make([]byte, 24)
	rand.Read(b)
	return hex.EncodeToString(b)
}
