package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	began   time.Time
}

// spawn starts a program with this environment and nothing else. It is stopped with
// the scenario, if not before.
func (l *lab) spawn(name string, env []string, path string, args ...string) (*program, error) {
	return l.spawnWithin(nil, name, env, path, args...)
}

// spawnWithin starts it in a control group, unless that is nil.
func (l *lab) spawnWithin(limits *cgroup, name string, env []string, path string, args ...string) (*program, error) {
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	p := &program{name: name, port: port, log: &tail{}}
	if limits != nil { // the shell waits outside for its place in the group
		args = append([]string{"-c", `read -r go && exec "$0" "$@"`, path}, args...)
		path = "sh"
		env = append(env, "GOMAXPROCS=1")
	}
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
	p.began = time.Now()
	if p.Process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l.programs = append(l.programs, p)
	if limits != nil {
		if err := limits.hold(p.Cmd.Process.Pid); err != nil {
			return nil, err
		}
		p.began = time.Now()
		if _, err := io.WriteString(p.stdin, "go\n"); err != nil {
			return nil, err
		}
	}
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

// says waits for a line that begins so.
func (p *program) says(word string) error {
	line, err := p.stdout.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, word) {
		return p.fault("ended or said something else than " + word)
	}
	return nil
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

// functionPackage is the program that all of this is about.
const functionPackage = "functions"

// function starts the function. extra comes after what every scenario shares, and wins.
func (l *lab) function(ctx context.Context, extra ...string) (*program, error) {
	p, err := l.startFunction(ctx, extra...)
	if err != nil {
		return nil, err
	}
	return p, p.healthy(ctx)
}

// startFunction does not wait for it to answer.
func (l *lab) startFunction(ctx context.Context, extra ...string) (*program, error) {
	path, err := l.binary(ctx, functionPackage)
	if err != nil {
		return nil, err
	}
	metrics, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	env := slices.Concat(l.sink.environment(), []string{
		"LISTEN_HOST=127.0.0.1", "METRICS_PORT=" + strconv.Itoa(metrics), "LOG_LEVEL=warn", "IDLE_EXIT=0",
		"WEBHOOK_SECRET=" + webhookSecret, "SUPABASE_URL=http://127.0.0.1:9", "SUPABASE_KEY=unused",
	}, extra)
	profile := ""
	if l.profiles() {
		l.profiled++
		profile = filepath.Join(l.dir, fmt.Sprintf("profile-%d", l.profiled))
		env = append(env, profileEnv+"="+profile)
	}
	p, err := l.spawnWithin(l.limits, "function", env, path)
	if err == nil {
		p.profile = profile
	}
	return p, err
}

// express starts the Express worker of peers/, with its packages installed; nil where
// there is no Node.
func (l *lab) express(ctx context.Context, env ...string) (*program, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, nil
	}
	dir := filepath.Join(l.root, "infra", "load", "peers")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express")); err != nil {
		l.say("  npm ci in %s", dir)
		if err := l.command(ctx, dir, "npm", "ci"); err != nil {
			l.say("  no Express worker: %v", err)
			return nil, nil
		}
	}
	env = append(append(l.sink.environment(), "NODE_ENV=production", "WEBHOOK_SECRET="+webhookSecret), env...)
	return l.serve(ctx, "express worker", env, node, filepath.Join(dir, "worker.js"))
}

// tail keeps the end of what a program writes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailLength is enough for a panic's first lines.
const tailLength = 4 << 10

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if len(t.text) > 2*tailLength {
		t.text = slices.Clone(t.text[len(t.text)-tailLength:])
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text[max(0, len(t.text)-tailLength):]))
}
