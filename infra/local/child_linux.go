package main

import "syscall"

// childAttributes puts the function in a process group of its own, so that a
// Ctrl-C reaches only the stack, which ends it in good order; and has Linux end
// it if the stack itself is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
