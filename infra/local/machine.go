package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"roomcast/infra/child"
)

const (
	// healthTimeout is how long a start may take.
	healthTimeout = time.Minute
	healthEvery   = 10 * time.Millisecond
	// stopTimeout is more than Fly's 5 s: here it shares its processors with everything.
	stopTimeout = 30 * time.Second
	// maxFailures in a row without becoming healthy, then the machine is given
	// up: Fly's on-failure policy has the same default.
	maxFailures  = 10
	restartAfter = 300 * time.Millisecond
)

var errStopped = errors.New("the function is stopped")

// machine runs the function the way a Fly Machine does with auto_start_machines
// and the restart policy on-failure: exit status 0 puts it to sleep until the
// next request, any other end, kill -9 included, starts it again.
type machine struct {
	binary string
	env    []string
	log    io.Writer
	say    func(format string, args ...any)
	died   func(error) // called when the machine is given up

	mu       sync.Mutex
	current  *execution // nil while asleep
	failures int        // ends in a row before health
	closed   error      // why it starts no more; nil while in service
}

// execution is one run of the function's process.
type execution struct {
	*child.Process
	port    int
	healthy chan struct{}
	done    chan struct{} // closed when its end has been dealt with
}

// dial connects to the function, starting it first if it is asleep. It has the
// form of http.Transport.DialContext; the address is not used.
func (m *machine) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	for {
		e, err := m.start()
		if err != nil {
			return nil, err
		}
		select {
		case <-e.healthy:
		case <-e.done:
			continue
		case <-ctx.Done():
			return nil, fmt.Errorf("function not healthy: %w", context.Cause(ctx))
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address(e.port))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return conn, err
		}
		select { // It is leaving: the request that meets this waits for the next start.
		case <-e.done:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// start returns the running execution, or begins one.
func (m *machine) start() (*execution, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed != nil {
		return nil, m.closed
	}
	if m.current != nil {
		return m.current, nil
	}
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(m.binary)
	cmd.Env = append(m.env, fmt.Sprintf("PORT=%d", port))
	cmd.Stdout, cmd.Stderr = m.log, m.log
	e := &execution{port: port, healthy: make(chan struct{}), done: make(chan struct{})}
	if e.Process, err = child.Start(cmd, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("function: %w", err)
	}
	m.current = e
	go m.supervise(e)
	go m.awaitHealth(e)
	return e, nil
}

// supervise waits for the process to end and does what Fly does then.
func (m *machine) supervise(e *execution) {
	err := e.Err()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = nil
	close(e.done)
	if m.closed != nil {
		return
	}
	if err == nil {
		m.say("the function sleeps; the next request starts it")
		return
	}
	m.failures++
	if m.failures > maxFailures {
		m.closed = fmt.Errorf("%w, %d times in a row before it was healthy", err, m.failures)
		m.died(m.closed)
		return
	}
	m.say("the function ended (%v) and starts again", err)
	delay := restartAfter * time.Duration(m.failures-1) // at once after a healthy run
	time.AfterFunc(delay, func() {
		if _, err := m.start(); err != nil {
			m.died(err) // counts for nothing if the stack is stopping or has heard of it
		}
	})
}

// awaitHealth asks /healthz until it answers 200, as Fly's check does.
func (m *machine) awaitHealth(e *execution) {
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for {
		if child.Healthy(context.Background(), address(e.port)) {
			m.mu.Lock()
			m.failures = 0
			m.mu.Unlock()
			close(e.healthy)
			return
		}
		select {
		case <-e.done:
			return
		case <-ticker.C:
		}
	}
}

// stop ends the function as Fly does, SIGINT and later SIGKILL, and waits.
func (m *machine) stop() error {
	m.mu.Lock()
	if m.closed == nil {
		m.closed = errStopped
	}
	e := m.current
	m.mu.Unlock()
	if e == nil {
		return nil
	}
	err := e.Stop(stopTimeout)
	<-e.done
	return err
}
