package main

import (
	"bytes"
	"slices"
	"sync"
)

// tail keeps the end of what a program writes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailLength is enough for a panic's first lines.
const tailLength = 4 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if len(t.text) > 2*tailLength {
		t.text = slices.Clone(t.text[len(t.text)-tailLength:])
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text[max(0, len(t.text)-tailLength):]))
}
