//go:build !linux

package main

import "syscall"

// childAttributes puts a child in a process group of its own, so that a Ctrl-C
// reaches only us, who end it in good order.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
