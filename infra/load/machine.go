package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"roomcast/infra/child"
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
	if name, ok := child.ProcField("/proc/cpuinfo", "model name"); ok {
		return name
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}

func memory() string {
	var kb int64
	if total, ok := child.ProcField("/proc/meminfo", "MemTotal"); ok {
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

// cpuTime is what a process with one thread, as Postgres' are, has computed.
// schedstat counts nanoseconds, where stat counts hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0, child.ErrNoProc
	}
	first, _, _ := strings.Cut(string(text), " ")
	n, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("schedstat: %w", err)
	}
	return time.Duration(n), nil
}

// cpuTimes adds up what several processes have computed.
func cpuTimes(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		t, err := cpuTime(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// processTime is what all threads of a process have computed, to a hundredth of a
// second: fields 14 and 15 of /proc/<pid>/stat, in the USER_HZ of every Linux.
func processTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, child.ErrNoProc
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name in parentheses may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, child.ErrNoProc
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
