package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
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
func (l *lab) profilingOverlay() (string, error) {
	source := filepath.Join(l.dir, "profile.go")
	overlay := filepath.Join(l.dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(l.root, functionPackage, "zz_profile.go"): source},
	})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(source, profileSource, 0o600), os.WriteFile(overlay, text, 0o600))
}

// keepProfile takes the profiles of a function at the end of what is measured.
// Without -cpuprofile and -memprofile it does nothing.
func (l *lab) keepProfile(ctx context.Context, p *program, what string) error {
	if p.profile == "" {
		return nil
	}
	if err := p.Signal(child.Profile); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, profileLimit)
	defer cancel()
	for {
		if _, err := os.Stat(p.profile + ".done"); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("profile: %w", context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.Join(
		keepFile(l.cpuProfile, what+".cpu.pprof", p.profile+".cpu"),
		keepFile(l.memProfile, what+".allocs.pprof", p.profile+".heap"))
}

func keepFile(dir, name, from string) error {
	if dir == "" {
		return nil
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}

// profileHere profiles what runs in this process until the returned function is
// called.
func (l *lab) profileHere(what string) (stop func() error, err error) {
	if l.cpuProfile == "" {
		return func() error { return nil }, nil
	}
	if err := os.MkdirAll(l.cpuProfile, 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(l.cpuProfile, what+".cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}
