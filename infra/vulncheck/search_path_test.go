package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Who may create temporary objects can put them before a function's own names, unless
// it says where pg_temp comes. That holds for what we give away, too: examples, the demo,
// the guide. The schema's functions have a test of their own.
func TestGivenFunctionsPinTheirSearchPath(t *testing.T) {
	function := regexp.MustCompile(`(?is)create (?:or replace )?function\s+([\w.]+)\s*\(.*?\bas\s+\$`)
	pinned := regexp.MustCompile(`(?i)set search_path = ([^$]*?, )?pg_temp\b`)
	// load/webhook.sql is Supabase's own function, compared with ours as it is.
	others := map[string]bool{"../load/webhook.sql": true, "../load/trigger.sql": true, "../load/chat.sql": true}
	found := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata") {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if ext := filepath.Ext(path); ext != ".sql" && ext != ".md" || others[path] {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			found++
			if !pinned.MatchString(m[0]) {
				t.Errorf("%s: %s: no set search_path = pg_catalog, pg_temp", path, strings.TrimSpace(m[1]))
			}
		}
		return err
	})
	if err != nil || found < 10 {
		t.Errorf("%d functions found, %v", found, err)
	}
}
