package child

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrNoProc says that /proc, which only Linux has, does not tell.
var ErrNoProc = errors.New("no /proc here")

// ProcField returns the value of the first "name : value" line of a file in /proc.
func ProcField(path, name string) (string, bool) {
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

// PeakMemory is the most that a process has held in memory, in bytes, shared pages of its
// program included.
func PeakMemory(pid int) (int64, error) { return memory(pid, "VmHWM") }

// Memory is what a process holds at this moment, likewise.
func Memory(pid int) (int64, error) { return memory(pid, "VmRSS") }

func memory(pid int, field string) (int64, error) {
	value, ok := ProcField(fmt.Sprintf("/proc/%d/status", pid), field)
	if !ok {
		return 0, ErrNoProc
	}
	var kb int64
	if _, err := fmt.Sscanf(value, "%d kB", &kb); err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	return kb << 10, nil
}
