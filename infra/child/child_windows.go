package child

import (
	"os"
	"syscall"
)

// Signals that Windows does not have: sending one is an error there.
const (
	Freeze  = syscall.Signal(0x13)
	Thaw    = syscall.Signal(0x12)
	Profile = syscall.Signal(0xa)
)

// attributes puts a child in a group of its own, so that a Ctrl-C reaches only us.
func attributes(syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// interrupt ends a program at once: Windows cannot ask one in another group.
func interrupt(p *os.Process) error { return p.Kill() }
