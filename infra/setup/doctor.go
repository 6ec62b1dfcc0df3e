package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// errDoctor: the doctor has said what is wrong.
var errDoctor = errors.New("set up, but not healthy yet: see the doctor's remedies, and run `task doctor` after the deploy")

// doctorWarned is the doctor's status when there are only warnings; see infra/ops.
const doctorWarned = 1

// runDoctor builds the operator's program and has it examine the installation. It is
// a program of its own, whose status `go run` would hide.
func runDoctor(ctx context.Context, environ []string, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "roomcast-setup-")
	if err != nil {
		return fmt.Errorf("doctor: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "ops")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "roomcast/infra/ops").CombinedOutput(); err != nil {
		return fmt.Errorf("build the doctor: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, program, "doctor")
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, stdout, stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == doctorWarned:
		return nil
	case errors.As(err, &exit):
		return errDoctor
	}
	return fmt.Errorf("doctor: %w", err)
}
