package admin_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"roomcast/shared/outbox/outboxtest"
)

// install.sql names every other file, and psql applies it, twice.
func TestInstallByPSQL(t *testing.T) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("NOT TESTED: psql is not installed")
	}
	text, err := os.ReadFile("../outbox/sql/install.sql")
	if err != nil {
		t.Fatal(err)
	}
	named := []string{"install.sql"}
	for _, m := range regexp.MustCompile(`(?m)^\\ir (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		named = append(named, m[1])
	}
	all, err := filepath.Glob("../outbox/sql/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if !slices.Contains(named, filepath.Base(path)) {
			t.Errorf("install.sql does not name %s", path)
		}
	}
	url := outboxtest.Database(t)
	for range 2 {
		cmd := exec.CommandContext(t.Context(), psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "../outbox/sql/install.sql", url)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("psql: %v\n%s", err, out)
		}
	}
}
