package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const both = `package both

import "testing"

func FuzzSound(f *testing.F) {
	f.Add("a")
	f.Fuzz(func(t *testing.T, s string) {})
}

func FuzzFaulty(f *testing.F) {
	f.Add("seed")
	f.Fuzz(func(t *testing.T, s string) {
		if s != "seed" {
			t.Error("another")
		}
	})
}

func TestNone(t *testing.T) { t.Fatal("was run") }
`

// module makes a module with a target that holds, one that does not, a test of neither, and
// what is not to be compiled.
func module(t *testing.T) string {
	dir := t.TempDir()
	for path, text := range map[string]string{
		"go.mod":             "module example\n\ngo 1.24\n",
		"both/a_test.go":     both,
		"without/c_test.go":  "package without\n\nnothing that compiles\n",
		"testdata/d_test.go": "package d\n\nfunc FuzzHidden() {}\n",
	} {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Every target is run; one that fails is told with its input, which is kept as a case.
func TestFuzz(t *testing.T) {
	dir := module(t)
	var out strings.Builder
	err := run(t.Context(), []string{"-C", dir, "-fuzztime", "1s", "-parallel", "1"}, &out)
	if err == nil || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"ok   both.FuzzSound", "FAIL both.FuzzFaulty", " executions, ", "another", "go test fuzz v1\nstring("} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	cases, err := filepath.Glob(filepath.Join(dir, "both", "testdata", "fuzz", "FuzzFaulty", "*"))
	if err != nil || len(cases) != 1 {
		t.Errorf("kept %v, %v", cases, err)
	}
	out.Reset()
	if err := run(t.Context(), []string{"-C", dir, "-list", "Sound$"}, &out); err != nil || out.String() != "[\"both.FuzzSound\"]\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := run(t.Context(), []string{"-C", dir, "NoSuch"}, &out); err == nil {
		t.Error("what does not exist is fuzzed")
	}
}

// The module's own targets are found without compiling them.
func TestDeclaring(t *testing.T) {
	packages, err := declaring("../..")
	if err != nil || len(packages) < 10 || !slices.Contains(packages, "shared/token") || slices.Contains(packages, "infra/fuzz/testdata") {
		t.Errorf("%v, %v", packages, err)
	}
	if text, err := json.Marshal(target("shared/token.FuzzClaims")); err != nil || string(text) != `"shared/token.FuzzClaims"` {
		t.Errorf("%s, %v", text, err)
	}
	if pkg, name := target("shared/token.FuzzClaims").split(); pkg != "./shared/token" || name != "FuzzClaims" {
		t.Errorf("%s, %s", pkg, name)
	}
}

// The end of the time is no failure; an input that fails is one, whenever it comes.
func TestLateEnd(t *testing.T) {
	for said, want := range map[string]bool{
		"--- FAIL: FuzzX (60.01s)\n    context deadline exceeded\nFAIL":                 true,
		"context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzX/1": false,
		"panic: context deadline exceeded":                                              false,
		"FAIL":                                                                          false,
	} {
		if isLateEnd(said) != want {
			t.Errorf("%q: %v", said, !want)
		}
	}
}
