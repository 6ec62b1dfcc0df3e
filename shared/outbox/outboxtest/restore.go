package outboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
)

// Halt shuts the server down in good order ("fast") and keeps its data. Restart starts
// it again.
func (s *Server) Halt() error { return s.signal(syscall.SIGINT) }

// Tool runs one of Postgres' programs as the server's account, in the cluster's
// directory (whose subdirectory "data" is the server's), with the server's address and
// superuser in the environment. bin is the programs' directory; empty means the newest
// of the system's, since a server from npm comes without tools. It returns the output.
func (s *Server) Tool(ctx context.Context, bin, name string, args ...string) ([]byte, error) {
	if bin == "" {
		bin = s.opts.Bin
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			if bin, err = FindBin(); err != nil {
				return nil, err
			}
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.account.attributes()
	cmd.Env = append(os.Environ(), "PGHOST=127.0.0.1", "PGUSER="+superuser, "PGPASSWORD="+s.password)
	if port := s.Port(); port != 0 {
		cmd.Env = append(cmd.Env, "PGPORT="+strconv.Itoa(port))
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said.Bytes()))
	}
	return out, nil
}

// Initialize makes the data of a new cluster in a subdirectory of the cluster's, with the
// programs of bin. The superuser has the same password in each, so that other users of
// the machine cannot reach it over loopback.
func (s *Server) Initialize(ctx context.Context, bin, dir string) error {
	secret := filepath.Join(s.dir, "password")
	verifier, err := scramVerifier(s.password)
	if err == nil {
		err = os.WriteFile(secret, []byte(verifier), 0o600)
	}
	if err != nil {
		return fmt.Errorf("password file: %w", err)
	}
	defer os.Remove(secret)
	if err := s.account.own(secret); err != nil {
		return err
	}
	locale := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		locale = "C" // macOS has no C.UTF-8 before version 15.
	}
	_, err = s.Tool(ctx, bin, "initdb", "--pgdata="+dir, "--username="+superuser, "--pwfile="+secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale="+locale, "--no-sync", "--no-instructions")
	return err
}

// Replace puts another directory's data in the place of a halted server's, whose own
// are kept under "replaced". bin is the directory of the programs that then run it;
// empty means those of before. Port, addresses and passwords stay.
func (s *Server) Replace(dir, bin string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil {
		return errors.New("replace: the server runs")
	}
	replaced := filepath.Join(s.dir, "replaced")
	if err := os.RemoveAll(replaced); err != nil {
		return err
	}
	if err := os.Rename(s.data(), replaced); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(s.dir, dir), s.data()); err != nil {
		return err
	}
	if bin != "" {
		s.opts.Bin = bin
	}
	return nil
}

// Configure appends lines to a file of a data directory beside "data", or of "data" itself.
func (s *Server) Configure(dir, file, lines string) error {
	path := filepath.Join(s.dir, dir, file)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(lines); err != nil {
		return err
	}
	return s.account.own(path)
}
