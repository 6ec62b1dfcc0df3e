package secretsfile

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzFile: what was written is read as it was, beside whatever else the file holds.
func FuzzFile(f *testing.F) {
	f.Add("# mine\nA=b\n", "it's \"$x\" `y`")
	f.Add("A='-----BEGIN\n-----END'\nexport B=1", "two\nlines'\n")
	f.Add("A='", "\\")
	f.Fuzz(func(t *testing.T, before, value string) {
		if strings.ContainsAny(value, "\x00\r") || value == "" || value != strings.TrimSpace(value) {
			return // no environment variable, no secret
		}
		file := File(strings.Split(before, "\n"))
		for _, line := range file {
			if open(line) {
				return // not what Open returns
			}
		}
		path := filepath.Join(t.TempDir(), "s")
		if err := file.Write(path, map[string]string{"SECRET": value}); err != nil {
			t.Fatal(err)
		}
		again, err := Open(path)
		if err != nil {
			return // another line was none
		}
		if got := again.Values(); got["SECRET"] != value {
			t.Fatalf("%q is read as %q", value, got["SECRET"])
		}
	})
}
