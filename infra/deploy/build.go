package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"roomcast/infra/child"
)

// errDirty is returned for a checkout that differs from its commit: what it would
// build could never be built again.
var errDirty = errors.New("the checkout has changes that are not committed (or say -allow-dirty)")

// buildFlags make the same bytes of the same commit on any computer: no path, no
// version control stamp, no build id. The revision is what version() will tell.
func buildFlags(revision, out string) []string {
	return []string{
		"build", "-buildvcs=false", "-tags", child.FunctionTags, "-trimpath",
		"-ldflags", "-s -w -buildid= -X main.revision=" + revision, "-o", out, "./functions",
	}
}

// build compiles the function in the checkout at root, statically, for Linux on
// goarch, and returns the program.
func build(ctx context.Context, root, goarch, revision string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "roomcast-build-")
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "roomcast")
	cmd := exec.CommandContext(ctx, "go", buildFlags(revision, out)...)
	cmd.Dir = root
	// What a developer has in GOFLAGS must not get into the bytes.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, text)
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	return program, nil
}

// checkout finds the commit at root. With changes to what the function is built
// from, it is errDirty or, if those are allowed, the commit marked as dirty.
func checkout(ctx context.Context, root string, allowDirty bool) (revision string, err error) {
	head, err := git(ctx, root, "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	changed, err := git(ctx, root, "status", "--porcelain", "--", "functions", "shared", "go.mod", "go.sum")
	if err != nil || changed == "" {
		return head, err
	}
	if !allowDirty {
		return "", fmt.Errorf("%w:\n%s", errDirty, changed)
	}
	return head + "-dirty", nil
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
