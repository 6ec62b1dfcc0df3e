package main

import "syscall"

// childAttributes keeps a Ctrl-C from the relay, which we end ourselves, and has
// Linux end it if we are killed: with SIGKILL, which ends a frozen process, too.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
