package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/admin"
	"roomcast/shared/outbox/outboxtest"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// The written file installs what Migrate installs, in one go and more than once.
func TestMigrationInstalls(t *testing.T) {
	dir := t.TempDir()
	if err := run([]string{dir}, noon, &bytes.Buffer{}, os.Stderr); err != nil {
		t.Fatal(err)
	}
	sql, err := os.ReadFile(filepath.Join(dir, "supabase/migrations/20261122120000_roomcast.sql"))
	if err != nil {
		t.Fatal(err)
	}
	url := outboxtest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for range 2 {
		if err := outboxtest.Exec(t.Context(), url, string(sql)); err != nil {
			t.Fatal(err)
		}
		if drift, err := admin.Compare(t.Context(), conn); err != nil || !drift.None() {
			t.Fatalf("differs from what Migrate makes: %+v, %v", drift, err)
		}
	}
}

// It has what install.sql names for psql, in that order, and no secret.
func TestMigrationFollowsInstall(t *testing.T) {
	install, err := os.ReadFile("../../shared/outbox/sql/install.sql")
	if err != nil {
		t.Fatal(err)
	}
	sql, err := migration()
	if err != nil {
		t.Fatal(err)
	}
	rest := sql
	for _, m := range regexp.MustCompile(`(?m)^\\ir (\S+)$`).FindAllStringSubmatch(string(install), -1) {
		part, err := os.ReadFile("../../shared/outbox/sql/" + m[1])
		if err != nil {
			t.Fatal(err)
		}
		var found bool
		if _, rest, found = strings.Cut(rest, strings.TrimSpace(string(part))); !found {
			t.Errorf("%s is missing, or out of order", m[1])
		}
	}
	if regexp.MustCompile(`(?m)^\\`).MatchString(sql) {
		t.Error("a psql command: the CLI cannot run it")
	}
}

func TestMigrationIsAddedOnlyWhenChanged(t *testing.T) {
	dir := t.TempDir()
	steps := []struct {
		sql     string
		at      time.Time
		written bool
		files   int
	}{
		{"one", noon, true, 1},
		{"one", noon.Add(time.Hour), false, 1},
		{"two", noon.Add(2 * time.Hour), true, 2},
		{"two", noon.Add(3 * time.Hour), false, 2},
		{"one", noon.Add(4 * time.Hour), true, 3}, // an older version again: still added, never rewritten
	}
	for i, s := range steps {
		path, written, err := write(dir, s.sql, s.at)
		if err != nil || written != s.written {
			t.Fatalf("step %d: written %v, %v", i, written, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != s.sql {
			t.Errorf("step %d: %s holds %q, %v", i, path, text, err)
		}
		if all, err := os.ReadDir(filepath.Join(dir, "supabase/migrations")); err != nil || len(all) != s.files {
			t.Errorf("step %d: %d files, %v", i, len(all), err)
		}
	}
	if _, _, err := write(dir, "three", noon); err == nil {
		t.Error("a migration that may be applied was overwritten")
	}
	if _, _, err := write(filepath.Join(dir, "none"), "one", noon); err == nil {
		t.Error("a project was made where there is none")
	}
}
