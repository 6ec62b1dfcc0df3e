package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
func (l *lab) spawn(name string, env []string, path string, args ...string) *program {
	return l.spawnWithin(nil, name, env, path, args...)
}

// spawnWithin starts it in a control group, unless that is nil.
func (l *lab) spawnWithin(limits *cgroup, name string, env []string, path string, args ...string) *program {
	p := &program{name: name, port: must(child.FreePort()), log: &tail{}}
	if limits != nil { // the shell waits outside for its place in the group
		args = append([]string{"-c", `read -r go && exec "$0" "$@"`, path}, args...)
		path = "sh"
		env = append(env, "GOMAXPROCS=1")
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PORT=" + strconv.Itoa(p.port)}, env...)
	cmd.Stderr = p.log
	p.stdout, p.stdin = bufio.NewReader(must(cmd.StdoutPipe())), must(cmd.StdinPipe())
	p.began = time.Now()
	p.Process = must(child.Start(cmd, syscall.SIGTERM))
	l.programs = append(l.programs, p)
	if limits != nil {
		check(limits.hold(p.Cmd.Process.Pid))
		p.began = time.Now()
		must(io.WriteString(p.stdin, "go\n"))
	}
	return p
}

// serve starts a program that answers HTTP, in the lab's control group if there is one, and
// waits until it does.
func (l *lab) serve(ctx context.Context, name string, env []string, path string, args ...string) *program {
	p := l.spawnWithin(l.limits, name, env, path, args...)
	p.healthy(ctx)
	return p
}

func (p *program) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// healthy asks /healthz until it answers 200. It asks quickly: it is also the
// stopwatch of how fast a program starts.
func (p *program) healthy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for !child.Healthy(ctx, p.addr()) {
		select {
		case <-p.Done():
			p.check(errors.New("ended"))
		case <-ctx.Done():
			p.check(errors.New("does not answer"))
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// check ends the scenario if there is an error, with what the program last said.
func (p *program) check(err error) {
	if err != nil {
		check(fmt.Errorf("%s: %w: %s", p.name, err, p.log.String()))
	}
}

// says waits for a line that begins so.
func (p *program) says(word string) {
	line, err := p.stdout.ReadString('\n')
	p.check(err)
	if !strings.HasPrefix(line, word) {
		p.check(fmt.Errorf("said %q, not %q", line, word))
	}
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
func (l *lab) function(ctx context.Context, extra ...string) *program {
	p := l.startFunction(ctx, extra...)
	p.healthy(ctx)
	return p
}

// startFunction does not wait for it to answer.
func (l *lab) startFunction(ctx context.Context, extra ...string) *program {
	path := l.binary(ctx, functionPackage)
	env := slices.Concat(l.sink.environment(), []string{
		"LISTEN_HOST=127.0.0.1", "METRICS_PORT=" + strconv.Itoa(must(child.FreePort())), "LOG_LEVEL=warn", "IDLE_EXIT=0",
		"WEBHOOK_SECRET=" + webhookSecret, "SUPABASE_URL=http://127.0.0.1:9", "SUPABASE_KEY=unused",
	}, extra)
	profile := ""
	if l.profiles() {
		l.profiled++
		profile = filepath.Join(l.dir, fmt.Sprintf("profile-%d", l.profiled))
		env = append(env, profileEnv+"="+profile)
	}
	p := l.spawnWithin(l.limits, "function", env, path)
	p.profile = profile
	return p
}

// express starts the Express worker of peers/, with its packages installed; nil where
// there is no Node.
func (l *lab) express(ctx context.Context, env ...string) *program {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil
	}
	dir := filepath.Join(l.root, "infra", "load", "peers")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "express")); err != nil {
		l.say("  npm ci in %s", dir)
		if err := l.command(ctx, dir, "npm", "ci"); err != nil {
			l.say("  no Express worker: %v", err)
			return nil
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
