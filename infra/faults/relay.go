package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit  = 20 * time.Second // for a relay to become healthy
	healthLimit = time.Second      // a relay that takes longer gets no bells, as at Fly
)

// relay is one machine: the function's binary as a process, which can be killed,
// frozen and started again.
type relay struct {
	binary string
	env    []string
	log    io.Writer

	mu   sync.Mutex
	cmd  *exec.Cmd       // nil while it is not running
	done <-chan struct{} // closed when cmd has ended
	addr string
}

// start runs the process, if it is not running, and waits until it is healthy.
func (r *relay) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd != nil {
		return nil
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	metrics, err := freeAddr()
	if err != nil {
		return err
	}
	cmd := exec.Command(r.binary)
	cmd.Env = append(r.env[:len(r.env):len(r.env)], "PORT="+portOf(addr), "METRICS_PORT="+portOf(metrics))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = r.log, r.log, childAttributes()
	done, err := spawn(cmd)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	r.cmd, r.done, r.addr = cmd, done, addr
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if !pollUntil(ctx, func() bool { return healthy(ctx, addr) }) {
		return fmt.Errorf("relay at %s: not healthy: %w", addr, context.Cause(ctx))
	}
	return nil
}

// spawn starts a child and tells its end. It does both on one locked thread:
// Linux's parent death signal follows the thread that forked, not the process.
func spawn(cmd *exec.Cmd) (<-chan struct{}, error) {
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is what the fault wanted
		}
	}()
	return ended, <-started
}

// kill ends the process at once, frozen or not, and waits for its end.
func (r *relay) kill() error { return r.end(syscall.SIGKILL) }

func (r *relay) end(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return nil
	}
	if err := r.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("relay: %w", err)
	}
	<-r.done
	r.cmd = nil
	return nil
}

// freeze stops the process where it stands, as a suspended machine does; its
// connections stay.
func (r *relay) freeze() error { return r.signal(syscall.SIGSTOP) }

// thaw lets it go on, with no idea of the time that has passed.
func (r *relay) thaw() error { return r.signal(syscall.SIGCONT) }

func (r *relay) signal(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return nil
	}
	return r.cmd.Process.Signal(sig)
}

// pid is the process's, 0 while there is none.
func (r *relay) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return 0
	}
	return r.cmd.Process.Pid
}

// address is where it listens, empty while it is not running.
func (r *relay) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return ""
	}
	return r.addr
}

// memory is the process's resident size in bytes; 0 where there is no /proc.
func (r *relay) memory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.pid()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if kilobytes, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kilobytes), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// healthy asks as Fly's check does.
func healthy(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// pollUntil asks often until done says yes; it reports false if ctx ended before.
func pollUntil(ctx context.Context, done func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
