package main

import "syscall"

// childAttributes puts a child in a process group of its own, so that a Ctrl-C
// reaches only us, who end it in good order; and has Linux end it if we are killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
