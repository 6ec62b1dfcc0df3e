//go:build unix && !linux

package child

import "syscall"

// attributes puts a child in a process group of its own, so that a Ctrl-C reaches only
// us, who end it in good order. Only Linux tells a child that we were killed.
func attributes(syscall.Signal) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
