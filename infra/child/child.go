// Package child runs programs beside our own the way Fly runs a machine: they end with
// SIGINT, and with SIGKILL if that takes too long. None of them outlives us. It also owns
// what every starter of the function needs: its build, its health, its memory.
package child

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// KillTimeout is Fly's default: the time between kill_signal and SIGKILL.
const KillTimeout = 5 * time.Second

// Process is a program that was started.
type Process struct {
	Cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait, once done is closed
}

// Start starts cmd. On Linux it gets the signal orphaned if we are killed: SIGTERM for
// a program that ends in good order, SIGKILL for one that may be frozen.
func Start(cmd *exec.Cmd, orphaned syscall.Signal) (*Process, error) {
	cmd.SysProcAttr = attributes(orphaned)
	p := &Process{Cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	// Start and Wait on one locked thread: Linux's parent death signal follows the
	// thread that forked, not the process.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		p.err = cmd.Start()
		started <- p.err
		if p.err == nil {
			p.err = cmd.Wait()
		}
	}()
	return p, <-started
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the program ended, nil for status 0. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends a signal. A program that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.Cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stop ends the program with SIGINT, after patience with SIGKILL, and waits for its end.
// Having had to kill it is an error.
func (p *Process) Stop(patience time.Duration) error {
	if err := interrupt(p.Cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
	}
	if err := p.Signal(os.Kill); err != nil {
		return err
	}
	<-p.done
	return fmt.Errorf("had to be killed after %s", patience)
}

// FreePort is a port of 127.0.0.1 on which nobody listens at this moment.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
