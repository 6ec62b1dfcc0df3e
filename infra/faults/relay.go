package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"roomcast/infra/child"
)

// startLimit bounds the time until a relay is healthy.
const startLimit = 20 * time.Second

// relay is one machine: the function's binary as a process, which can be killed,
// frozen and started again.
type relay struct {
	binary string
	env    []string
	log    io.Writer

	mu      sync.Mutex
	process *child.Process // nil while it is not running
	addr    string         // the same at each start
}

// start runs the process, if it is not running, and waits until it is healthy.
func (r *relay) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil {
		return nil
	}
	addr, err := r.addr, error(nil)
	if addr == "" {
		if addr, err = freeAddr(); err != nil {
			return err
		}
	}
	metrics, err := freeAddr()
	if err != nil {
		return err
	}
	cmd := exec.Command(r.binary)
	cmd.Env = append(r.env[:len(r.env):len(r.env)], "PORT="+portOf(addr), "METRICS_PORT="+portOf(metrics))
	cmd.Stdout, cmd.Stderr = r.log, r.log
	process, err := child.Start(cmd, syscall.SIGKILL) // which ends a frozen process, too
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	r.process, r.addr = process, addr
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if !pollUntil(ctx, func() bool { return child.Healthy(ctx, addr) }) {
		return fmt.Errorf("relay at %s: not healthy: %w", addr, context.Cause(ctx))
	}
	return nil
}

// kill ends the process at once, frozen or not, and waits for its end.
func (r *relay) kill() error { return r.end(syscall.SIGKILL) }

func (r *relay) end(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return nil
	}
	if err := r.process.Signal(sig); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	<-r.process.Done()
	r.process = nil
	return nil
}

// freeze stops the process where it stands, as a suspended machine does; its
// connections stay.
func (r *relay) freeze() error { return r.signal(child.Freeze) }

// thaw lets it go on, with no idea of the time that has passed.
func (r *relay) thaw() error { return r.signal(child.Thaw) }

func (r *relay) signal(sig syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return nil
	}
	return r.process.Signal(sig)
}

// pid is the process's, 0 while there is none.
func (r *relay) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return 0
	}
	return r.process.Cmd.Process.Pid
}

// address is where it listens, empty while it is not running.
func (r *relay) address() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return ""
	}
	return r.addr
}

// memory is the process's resident size in bytes; 0 where there is no /proc.
func (r *relay) memory() int64 {
	held, _ := child.Memory(r.pid())
	return held
}

func freeAddr() (string, error) {
	port, err := child.FreePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
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
