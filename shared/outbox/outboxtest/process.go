package outboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var errPortTaken = errors.New("port taken")

// orphanWait is how long we wait for backends that outlive their postmaster.
const orphanWait = 10 * time.Second

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// arguments are the server's settings, given on its command line.
func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"shared_buffers":          "64MB",
		"max_connections":         "100",
		"timezone":                "UTC",
		"lc_messages":             "C", // launch reads the log
		"logging_collector":       "off",
		"jit":                     "off",
	}
	if !s.opts.Durable {
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, m := range []map[string]string{settings, s.opts.Settings} {
		for name, value := range m {
			args = append(args, "-c", name+"="+value)
		}
	}
	return args
}

// process is one run of the server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	log  *serverLog
}

// launch starts the server and waits until it accepts connections, ends or ctx is over.
func (s *Server) launch(ctx context.Context) (*process, error) {
	cmd := exec.Command(filepath.Join(s.opts.Bin, "postgres"), s.arguments()...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.account.attributes()
	p, err := run(ctx, cmd, "database system is ready to accept connections", s.opts.Log)
	if err != nil && p != nil { // it still runs
		return nil, errors.Join(err, s.end(p, syscall.SIGQUIT))
	}
	return p, err
}

// run starts a program and waits until a line of its log says that it is up, until it
// ends, or until ctx is over. In the last case it returns the program beside the error.
func run(ctx context.Context, cmd *exec.Cmd, up string, sink func(string)) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{}), log: &serverLog{up: up, sink: sink, ready: make(chan struct{})}}
	name := filepath.Base(cmd.Path)
	cmd.Stderr, cmd.WaitDelay = p.log, orphanWait
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // The log says more than the exit status.
	}()
	select {
	case <-p.log.ready:
		return p, nil
	case <-p.done:
		tail := p.log.tail()
		if strings.Contains(tail, "Address already in use") {
			return nil, errPortTaken
		}
		return nil, fmt.Errorf("%s ended at start: %s", name, tail)
	case <-ctx.Done():
		return p, fmt.Errorf("%s start: %w", name, context.Cause(ctx))
	}
}

// end has a server shut down and waits for it and its children.
func (s *Server) end(p *process, sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := s.tell(p, sig); err != nil {
		return err
	}
	<-p.done
	return nil
}

// serverLog splits the server's output into lines, passes them on, and sees
// the line that says the server is up.
type serverLog struct {
	up    string
	sink  func(string)
	ready chan struct{}

	mu      sync.Mutex
	partial []byte
	last    []string
	isReady bool
}

// Write implements io.Writer for exec.Cmd, which calls it from one goroutine.
func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, b...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.partial = rest
		l.line(string(line))
	}
}

func (l *serverLog) line(s string) {
	const kept = 20
	l.last = append(l.last, s)
	l.last = l.last[max(0, len(l.last)-kept):]
	if l.sink != nil {
		l.sink(s)
	}
	if !l.isReady && strings.Contains(s, l.up) {
		l.isReady = true
		close(l.ready)
	}
}

func (l *serverLog) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "\n")
}

// watchdog outlives this process by a moment. It is a shell that waits for the
// end of its input, which comes when we close it or when the kernel does so for
// us after a panic or kill -9; then it stops the server and removes the directory.
// (Linux's parent death signal would do half of this, and follows a thread, not a process.)
type watchdog struct {
	cmd *exec.Cmd
	in  io.Closer
}

const watchdogScript = `cat >/dev/null
for file in ` + poolerPID + ` data/postmaster.pid; do
  read -r pid 2>/dev/null <"$1/$file" && kill -QUIT "$pid" 2>/dev/null &&
  while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
done
rm -rf "$1"`

// poolerPID is the file in the cluster's directory that names a pooler's process.
const poolerPID = "pgbouncer.pid"

func startWatchdog(dir string) (*watchdog, error) {
	if runtime.GOOS == "windows" { // no sh: a killed owner leaves its server there
		return nil, nil
	}
	cmd := exec.Command("sh", "-c", watchdogScript, "roomcast-postgres-watchdog", dir)
	cmd.SysProcAttr = detached()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	return &watchdog{cmd, in}, nil
}

// dismiss ends the watchdog; the server is expected to have ended before.
func (w *watchdog) dismiss() error {
	if w == nil {
		return nil
	}
	if err := errors.Join(w.in.Close(), w.cmd.Wait()); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	return nil
}
