package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The threat table names the tests that show what it says. They must exist.
func TestThreatsNameRealTests(t *testing.T) {
	table, err := os.ReadFile("../THREATS.md")
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	for _, layer := range []string{"../../functions", "../../shared", "../../infra"} {
		err := filepath.WalkDir(layer, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "node_modules":
				return filepath.SkipDir
			case !strings.HasSuffix(path, "_test.go"):
				return nil
			}
			source, err := os.ReadFile(path)
			for _, name := range declared.FindAllSubmatch(source, -1) {
				exist[string(name[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)\\w+)`").FindAllSubmatch(table, -1)
	if len(named) < 50 {
		t.Errorf("the table names %d tests only", len(named))
	}
	for _, name := range named {
		if !exist[string(name[1])] {
			t.Errorf("there is no %s", name[1])
		}
	}
	for _, row := range strings.Split(string(table), "\n") {
		cells := strings.Split(row, "|")
		if len(cells) < 3 || strings.Contains(row, "---") || strings.Contains(row, "| test |") {
			continue
		}
		if len(cells) != 6 || !strings.Contains(cells[4], "`Test") && !strings.Contains(cells[4], "`Fuzz") {
			t.Errorf("not who, what, what stops it and which test: %s", row)
		}
	}
}
