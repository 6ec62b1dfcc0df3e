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
	"time"
)

const (
	// startLimit is how long a program may take until it answers /healthz.
	startLimit = 10 * time.Second
	// stopLimit is Fly's kill_timeout.
	stopLimit = 5 * time.Second
)

// program is a child process.
type program struct {
	name    string
	cmd     *exec.Cmd
	port    int
	log     *tail
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	done    chan struct{} // closed when it has ended
	profile string        // where it writes profiles; empty for none
}

// spawn starts a program with this environment and nothing else. It is stopped with
// the scenario, if not before.
func (l *lab) spawn(name string, env []string, path string, args ...string) (*program, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	p := &program{name: name, cmd: exec.Command(path, args...), port: port, log: &tail{}, done: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PORT=" + strconv.Itoa(port)}, env...)
	p.cmd.Stderr = p.log
	p.cmd.SysProcAttr = childAttributes()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(stdout)
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is seen by those who wait for its answers
	}()
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
		case <-p.done:
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

// stop ends it as Fly does, SIGINT and later SIGKILL, and waits.
func (p *program) stop() error {
	_ = p.stdin.Close()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopLimit):
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return fmt.Errorf("%s had to be killed", p.name)
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

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
