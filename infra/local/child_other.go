//go:build !linux

package main

import "syscall"

// childAttributes puts the function in a process group of its own, so that a
// Ctrl-C reaches only the stack, which ends it in good order. If the stack is
// killed, the function ends by itself after IDLE_EXIT.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
