package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck finds what only one system has, in a program and in its tests.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":       "module example\n\ngo 1.26\n",
		"main.go":      "package main\n\nimport \"syscall\"\n\nfunc main() { _ = syscall.Kill }\n",
		"main_test.go": "package main\n\nimport (\n\t\"syscall\"\n\t\"testing\"\n)\n\nfunc Test(t *testing.T) { _ = syscall.SysProcAttr{Pdeathsig: 9} }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for system, want := range map[string][]string{"linux": nil, "windows": {"Kill", "Pdeathsig"}} {
		var out bytes.Buffer
		found, err := check(&out, system, "./...")
		if err != nil {
			t.Fatal(err)
		}
		if (found > 0) != (want != nil) {
			t.Errorf("%s: %d errors: %s", system, found, out.String())
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: it does not say %s: %s", system, w, out.String())
			}
		}
	}
}
