package metrics

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"
)

// Fields of /proc/self/stat behind the command's closing bracket, counted from 0
// (proc_pid_stat(5), where state, the first of them, is number 3).
const (
	statUserTicks   = 11
	statSystemTicks = 12
	statResident    = 21 // in pages
)

// ticksPerSecond is USER_HZ, which Linux has fixed at 100 for user space.
const ticksPerSecond = 100

// Process adds what Prometheus' dashboards expect of any Go process, under the
// names its own library uses. What the system does not tell is left out.
func (r *Registry) Process() {
	started := float64(time.Now().UnixMilli()) / 1000
	r.Gauge("process_start_time_seconds", "Start time of the process since the epoch.",
		func() (float64, bool) { return started, true })
	const cpu = "process_cpu_seconds_total"
	r.add(cpu, reading{kind: "counter", name: cpu, help: "Processor time used, user and system.",
		value: func() (float64, bool) {
			user, ok := stat(statUserTicks)
			system, also := stat(statSystemTicks)
			return (user + system) / ticksPerSecond, ok && also
		}})
	r.Gauge("process_resident_memory_bytes", "Memory in use.", func() (float64, bool) {
		pages, ok := stat(statResident)
		return pages * float64(os.Getpagesize()), ok
	})
	r.Gauge("go_goroutines", "Goroutines that exist.",
		func() (float64, bool) { return float64(runtime.NumGoroutine()), true })
}

// stat reads one number of /proc/self/stat.
func stat(field int) (float64, bool) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, false
	}
	// The command may hold spaces and brackets; its last bracket ends it.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= field {
		return 0, false
	}
	n, err := strconv.ParseUint(string(fields[field]), 10, 64)
	return float64(n), err == nil
}
