package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"roomcast/infra/child"
)

// startLimit is how long a program may take until it answers /healthz.
const startLimit = 10 * time.Second

// program is a child process.
type program struct {
	*child.Process
	name    string
	port    int
	log     *tail
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	profile string // where it writes profiles; empty for none
}

// spawn starts a program with this environment and nothing else. It is stopped with
// the scenario, if not before.
func (l *lab) spawn(name string, env []string, path string, args ...string) (*program, error) {
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	p := &program{name: name, port: port, log: &tail{}}
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PORT=" + strconv.Itoa(port)}, env...)
	cmd.Stderr = p.log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(stdout)
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.Process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l.programs = append(l.programs, p)
	return p, nil
}

// serve starts a program that answers HTTP, and waits until it does.
func (l *lab) serve(ctx context.Context, name string, env []string, path string, args ...string) (*program, error) {
	p, err := l.spawn(name, env, path, args...)
	if err != nil {
		return nil, err
	}
	return p, p.healthy(ctx)
}

func (p *program) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// healthy asks /healthz until it answers 200. It asks quickly: it is also the
// stopwatch of how fast a program starts.
func (p *program) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr()+"/healthz", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.Done():
			return p.fault("ended")
		case <-ctx.Done():
			return p.fault("does not answer")
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// fault is an error with what the program last said.
func (p *program) fault(what string) error {
	return fmt.Errorf("%s %s: %s", p.name, what, p.log.String())
}

// stop ends it and waits.
func (p *program) stop() error {
	_ = p.stdin.Close()
	if err := p.Stop(child.KillTimeout); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// stopPrograms ends those that still run.
func (l *lab) stopPrograms() error {
	var faults []error
	for _, p := range l.programs {
		faults = append(faults, p.stop())
	}
	l.programs = nil
	return errors.Join(faults...)
}
