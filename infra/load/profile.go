package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"roomcast/infra/child"
)

//go:embed overlay/profile.go.txt
var profileSource []byte

const (
	// profileEnv tells an overlaid function where to write its profiles.
	profileEnv = "LOAD_PROFILE"
	// profileLimit is how long it may take to write them.
	profileLimit = 10 * time.Second
)

func (l *lab) profiles() bool { return l.cpuProfile != "" || l.memProfile != "" }

// profilingOverlay puts a file into the function's package that writes profiles.
// The function itself has no such switch: nobody but us needs one.
func (l *lab) profilingOverlay() string {
	source := filepath.Join(l.dir, "profile.go")
	overlay := filepath.Join(l.dir, "overlay.json")
	text := must(json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(l.root, functionPackage, "zz_profile.go"): source},
	}))
	check(os.WriteFile(source, profileSource, 0o600))
	check(os.WriteFile(overlay, text, 0o600))
	return overlay
}

// keepProfile takes the profiles of a function at the end of what is measured.
// Without -cpuprofile and -memprofile it does nothing.
func (l *lab) keepProfile(ctx context.Context, p *program, what string) {
	if p.profile == "" {
		return
	}
	check(p.Signal(child.Profile))
	ctx, cancel := context.WithTimeout(ctx, profileLimit)
	defer cancel()
	for {
		if _, err := os.Stat(p.profile + ".done"); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			check(fmt.Errorf("profile: %w", context.Cause(ctx)))
		case <-time.After(10 * time.Millisecond):
		}
	}
	keepFile(l.cpuProfile, what+".cpu.pprof", p.profile+".cpu")
	keepFile(l.memProfile, what+".allocs.pprof", p.profile+".heap")
}

func keepFile(dir, name, from string) {
	if dir == "" {
		return
	}
	check(os.MkdirAll(dir, 0o755))
	check(os.WriteFile(filepath.Join(dir, name), must(os.ReadFile(from)), 0o644))
}

// profileHere profiles what runs in this process until the returned function is
// called.
func (l *lab) profileHere(what string) (stop func()) {
	if l.cpuProfile == "" {
		return func() {}
	}
	check(os.MkdirAll(l.cpuProfile, 0o755))
	file := must(os.Create(filepath.Join(l.cpuProfile, what+".cpu.pprof")))
	check(pprof.StartCPUProfile(file))
	return func() {
		pprof.StopCPUProfile()
		check(file.Close())
	}
}
