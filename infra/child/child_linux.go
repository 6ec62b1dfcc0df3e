package child

import "syscall"

// attributes puts a child in a process group of its own, so that a Ctrl-C reaches only
// us, who end it in good order; and has Linux send it a signal if we are killed.
func attributes(orphaned syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: orphaned}
}
