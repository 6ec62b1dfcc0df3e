package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
)

// place is what at most one living process has: a machine and a port of it. A process that
// is killed and started again has its predecessor's, and may take over what that one held
// in the database: that it has the place is the proof that nobody else does.
type place struct {
	name string       // empty where there is no such proof
	lock net.Listener // nil likewise; the kernel lets go of it when the process has died
}

// takePlace takes the place of this machine and port, unless another process has it: one
// that is frozen, or that still drains. Only Linux has what it needs: a name that ends
// with its process, and lies in the same network as the port.
func takePlace(flyMachine string, port uint16) place {
	machine, ok := machineIdentity(flyMachine)
	if !ok || port == 0 {
		return place{}
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", machine, port))
	name := hex.EncodeToString(sum[:8])
	lock, err := net.Listen("unix", "@roomcast-"+name)
	if err != nil {
		return place{}
	}
	return place{name: name, lock: lock}
}

// machineIdentity names this machine: Fly's id, which outlives a start of the machine; else
// the boot and, since containers may share all else, the network.
func machineIdentity(flyMachine string) (string, bool) {
	if runtime.GOOS != "linux" {
		return "", false
	}
	if flyMachine != "" {
		return flyMachine, true
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", false
	}
	return strings.TrimSpace(string(boot)) + " " + network + " " + hostname(), true
}

func (p place) leave() {
	if p.lock != nil {
		_ = p.lock.Close()
	}
}

// relayName tells operators which process holds a room, and the database which place.
func (p place) relayName() string {
	name := fmt.Sprintf("%s:%d", hostname(), os.Getpid())
	if p.name != "" {
		name += "@" + p.name
	}
	return name
}

func hostname() string {
	host, err := os.Hostname()
	if err != nil {
		return "relay"
	}
	return strings.ReplaceAll(host, "@", "-")
}
