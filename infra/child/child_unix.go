//go:build unix

package child

import (
	"os"
	"syscall"
)

// Signals that Windows does not have.
const (
	Freeze  = syscall.SIGSTOP // the process stands still, its connections stay
	Thaw    = syscall.SIGCONT // it goes on
	Profile = syscall.SIGUSR1 // what a profiled function writes its profiles on
)

// interrupt asks a program to end in good order.
func interrupt(p *os.Process) error { return p.Signal(os.Interrupt) }
