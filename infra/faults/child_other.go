//go:build !linux

package main

import "syscall"

// childAttributes keeps a Ctrl-C from the relay, which we end ourselves.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
