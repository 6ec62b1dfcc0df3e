package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine names what the figures were measured on, and of.
type machine struct {
	hardware string
	commit   string
	date     string
	load     string // the load average before we began: others' work spoils figures
}

// machine asks the system, git and Postgres.
func (l *lab) machine(ctx context.Context) (machine, error) {
	commit, err := l.git(ctx, "rev-parse", "--short=12", "HEAD")
	if err != nil {
		return machine{}, err
	}
	changed, err := l.git(ctx, "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return machine{}, err
	}
	if changed != "" {
		commit += " with changes"
	}
	postgres, err := exec.CommandContext(ctx, filepath.Join(l.postgres.Bin(), "postgres"), "--version").Output()
	if err != nil {
		return machine{}, fmt.Errorf("postgres version: %w", err)
	}
	_, version, _ := strings.Cut(string(postgres), ") ")
	version, _, _ = strings.Cut(version, " ")
	return machine{
		hardware: fmt.Sprintf("%s, %d cores, %s; %s, Postgres %s with fsync on the same machine",
			processor(), runtime.NumCPU(), memory(), runtime.Version(), strings.TrimSpace(version)),
		commit: commit,
		load:   loadAverage(),
		date:   time.Now().UTC().Format("2006-01-02 15:04 UTC"),
	}, nil
}

func (l *lab) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = l.root
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}

// processor and memory read what Linux says; elsewhere the architecture must do.
func processor() string {
	if name, ok := lineOf("/proc/cpuinfo", "model name"); ok {
		return name
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}

func memory() string {
	var kb int64
	if total, ok := lineOf("/proc/meminfo", "MemTotal"); ok {
		if _, err := fmt.Sscanf(total, "%d kB", &kb); err == nil {
			return fmt.Sprintf("%.0f GB", float64(kb)/1e6)
		}
	}
	return "memory unknown"
}

// loadAverage is that of the last minute, empty where it cannot be told.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// lineOf returns the value of the first "name : value" line of a file.
func lineOf(path, name string) (string, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
