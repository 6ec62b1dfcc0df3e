package main

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Only a finding fails; what cannot be checked says so.
func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, script, says string
		want               error
	}{
		{"nothing found", "exit 0", "no known vulnerabilities", nil},
		{"found", "echo GO-2099-0001; exit 3", "GO-2099-0001", errFound},
		{"no database", "echo loading; echo 'fetching vulnerabilities: no such host' >&2; exit 1", "NOT CHECKED for vulnerabilities: exit status 1: fetching", errNotChecked},
		{"usage", "exit 2", "NOT CHECKED", errNotChecked},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := check(exec.Command("sh", "-c", tc.script), &out); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
			if !strings.HasPrefix(out.String(), tc.says) {
				t.Errorf("it says %q, want %q", out.String(), tc.says)
			}
		})
	}
	var out bytes.Buffer
	if err := check(exec.Command("/does/not/exist"), &out); !errors.Is(err, errNotChecked) || !strings.HasPrefix(out.String(), "NOT CHECKED") {
		t.Errorf("without the checker: %v, %q", err, out.String())
	}
}
