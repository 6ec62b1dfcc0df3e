package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// target is a fuzz target, as package.Name: the package as a path in the module.
type target string

func (t target) split() (pkg, name string) {
	at := strings.LastIndexByte(string(t), '.')
	return "./" + string(t)[:at], string(t)[at+1:]
}

// find asks go test for the targets of the module in dir that match a pattern. Only
// packages whose tests declare one are compiled for it.
func find(ctx context.Context, dir string, wanted *regexp.Regexp) (found []target, err error) {
	packages, err := declaring(dir)
	if err != nil {
		return nil, err
	}
	for _, pkg := range packages {
		cmd := exec.CommandContext(ctx, "go", "test", "-list", "^Fuzz", "./"+pkg)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		names, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", pkg, err)
		}
		for name := range strings.FieldsSeq(string(names)) {
			if t := target(pkg + "." + name); strings.HasPrefix(name, "Fuzz") && wanted.MatchString(string(t)) {
				found = append(found, t)
			}
		}
	}
	return found, nil
}

var declaration = []byte("\nfunc Fuzz")

// declaring lists the folders with a test file that declares a fuzz target.
func declaring(dir string) (packages []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != dir && (name == "node_modules" || name == "testdata" || strings.HasPrefix(name, ".")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, declaration) {
			return err
		}
		pkg, err := filepath.Rel(dir, filepath.Dir(path))
		if pkg = filepath.ToSlash(pkg); err == nil && !slices.Contains(packages, pkg) {
			packages = append(packages, pkg)
		}
		return err
	})
	return packages, err
}
