package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// errNoProc: what a process uses is read from /proc, which only Linux has.
var errNoProc = errors.New("no /proc here")

// peakMemory is the most a process has held in memory, in bytes, shared pages of
// its program included.
func peakMemory(pid int) (int64, error) { return memoryOf(pid, "VmHWM") }

// memoryNow is what it holds at this moment.
func memoryNow(pid int) (int64, error) { return memoryOf(pid, "VmRSS") }

func memoryOf(pid int, field string) (int64, error) {
	value, ok := lineOf(fmt.Sprintf("/proc/%d/status", pid), field)
	if !ok {
		return 0, errNoProc
	}
	var kb int64
	if _, err := fmt.Sscanf(value, "%d kB", &kb); err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	return kb << 10, nil
}

// cpuTime is what a process with one thread, as Postgres' are, has computed.
// schedstat counts nanoseconds, where stat counts hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0, errNoProc
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
		return 0, errNoProc
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name in parentheses may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errNoProc
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
