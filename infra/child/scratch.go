package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
)

// Scratch is a directory that goes with this process, however it ends.
type Scratch struct {
	Dir      string
	watchdog *exec.Cmd // nil on Windows, where a killed process leaves it
	in       io.Closer
}

// NewScratch makes one in the temporary folder. A shell waits for the end of its input,
// which comes when we end, kill -9 included, and removes the directory.
func NewScratch(pattern string) (*Scratch, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return nil, fmt.Errorf("scratch: %w", err)
	}
	s := &Scratch{Dir: dir}
	if runtime.GOOS == "windows" {
		return s, nil
	}
	s.watchdog = exec.Command("sh", "-c", `cat >/dev/null; rm -rf "$1"`, "roomcast-scratch", dir)
	s.watchdog.SysProcAttr = attributes(0)
	if s.in, err = s.watchdog.StdinPipe(); err == nil {
		err = s.watchdog.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("scratch: %w", err), os.RemoveAll(dir))
	}
	return s, nil
}

// Remove removes the directory and ends the watchdog.
func (s *Scratch) Remove() error {
	err := os.RemoveAll(s.Dir)
	if s.watchdog == nil {
		return err
	}
	return errors.Join(err, s.in.Close(), s.watchdog.Wait())
}
