package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"roomcast/shared/pusher/pushertest"
)

// The committed modules and types are those of the sources: the function serves them,
// and nobody reads them.
func TestBuiltFilesAreCurrent(t *testing.T) {
	built, err := modules("..")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, built)
	inParts, err := filepath.Glob("../parts/*")
	if err != nil || len(inParts) != len(parts()) {
		t.Errorf("parts holds %v, want %d", inParts, len(parts()))
	}
}

func TestDeclarationsAreCurrent(t *testing.T) {
	pushertest.NodeModules(t)
	types, err := declarations("..")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, types)
}

func compare(t *testing.T, files map[string][]byte) {
	t.Helper()
	if len(files) < len(entries()) {
		t.Errorf("%d files of %d entries", len(files), len(entries()))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its sources make: run `go generate ./shared/browser`", name)
		}
	}
}
