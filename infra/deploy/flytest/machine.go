package flytest

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	fly "github.com/superfly/fly-go"

	"roomcast/infra/child"
)

// The states that last; see https://fly.io/docs/machines/machine-states/.
const (
	created   = "created"
	started   = "started"
	stopped   = "stopped"
	destroyed = "destroyed"
)

// machine is one Fly Machine. Its fields are guarded by the server's mutex, its
// process by serial: one change of it at a time, in the order they were asked for.
type machine struct {
	s      *Server
	app    *app
	serial sync.Mutex

	id, name, region string
	created          time.Time
	state            string
	instance         string // 26 characters, new with every configuration
	config           *fly.MachineConfig
	env              map[string]string // of the secrets it was given
	events           []*fly.MachineEvent
	checks           []*fly.MachineCheckStatus
	lease            *lease
	restarts         int // in a row
	process          *process
	log              lines
}

// process is one run of the image's program.
type process struct {
	cmd      *exec.Cmd
	port     int
	stopping bool // on request
	done     chan struct{}
}

// configure makes a new version. s.mu is held.
func (m *machine) configure(config *fly.MachineConfig) {
	m.config, m.restarts = config, 0
	m.instance = m.s.next("01J%023d")
	version := len(m.app.secrets) - 1
	if m.s.stale && version > 0 {
		version--
	}
	m.env = m.app.secrets[version]
	if m.config.Metadata == nil {
		m.config.Metadata = map[string]string{}
	}
}

// view is the machine as the API shows it. s.mu is held.
func (m *machine) view() fly.Machine {
	config := *m.config
	config.Metadata = map[string]string{}
	for key, value := range m.config.Metadata {
		config.Metadata[key] = value
	}
	v := fly.Machine{
		ID: m.id, Name: m.name, State: m.state, Region: m.region, InstanceID: m.instance, Version: m.instance,
		PrivateIP: "fdaa::1", CreatedAt: m.created.UTC().Format(time.RFC3339), UpdatedAt: m.created.UTC().Format(time.RFC3339),
		Config: &config, Events: slices.Clone(m.events), HostStatus: fly.HostStatusOk,
	}
	for _, check := range m.checks {
		v.Checks = append(v.Checks, new(*check))
	}
	return v
}

// note adds an event, the newest first as Fly lists them. s.mu is held.
func (m *machine) note(kind, status string, exit *fly.MachineExitEvent) {
	at := time.Now().UnixMilli()
	if len(m.events) > 0 {
		at = max(at, m.events[0].Timestamp+1) // no two at once: tests are quicker than a clock
	}
	e := &fly.MachineEvent{Type: kind, Status: status, Source: "flyd", Timestamp: at}
	if exit != nil {
		e.Request = &fly.MachineRequest{ExitEvent: exit}
	}
	m.events = slices.Insert(m.events, 0, e)
	m.s.announce()
}

// enter moves the machine to a state.
func (m *machine) enter(state string) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	m.state = state
	m.s.announce()
}

// begin does something to the process in the background. s.mu is held.
func (m *machine) begin(do func()) {
	if m.s.closed {
		return
	}
	m.s.running.Go(func() {
		m.serial.Lock()
		defer m.serial.Unlock()
		do()
	})
}

// start pulls the image and runs it. m.serial is held.
func (m *machine) start() {
	m.s.mu.Lock()
	image := m.config.Image
	skip := m.s.closed || m.process != nil || m.state == destroyed
	m.s.mu.Unlock()
	if skip {
		return
	}
	pulled, err := m.s.pull(image)
	if err != nil {
		m.log.add("flytest: pull: " + err.Error())
		m.enter("failed")
		return
	}
	port, err := child.FreePort()
	if err != nil {
		m.s.tb.Errorf("flytest: %v", err)
		return
	}
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	p := &process{cmd: exec.Command(pulled.path), port: port, done: make(chan struct{})}
	p.cmd.Env = m.environ(pulled, port)
	p.cmd.Stdout, p.cmd.Stderr = &m.log, &m.log
	if err := p.cmd.Start(); err != nil {
		m.log.add("flytest: " + err.Error())
		m.state = "failed"
		m.s.announce()
		return
	}
	m.process, m.state = p, started
	m.note("start", started, nil)
	m.s.running.Go(func() { m.supervise(p) })
	m.s.running.Go(func() { m.probe(p) })
}

// environ is what a process is told: the image's, fly.toml's, the secrets (which win,
// as on Fly), and Fly's own. The ports are the one lie. s.mu is held.
func (m *machine) environ(p *program, port int) []string {
	env := slices.Clone(p.env)
	for key, value := range m.config.Env {
		env = append(env, key+"="+value)
	}
	for key, value := range m.env {
		env = append(env, key+"="+value)
	}
	return append(env,
		"FLY_APP_NAME="+m.app.name, "FLY_MACHINE_ID="+m.id, "FLY_REGION="+m.region, "FLY_MACHINE_VERSION="+m.instance,
		"LISTEN_HOST=127.0.0.1", "METRICS_PORT=0", fmt.Sprintf("PORT=%d", port))
}

// stop ends the process as Fly does: the signal, the timeout, the kill. It waits for
// the end. m.serial is held.
func (m *machine) stop(now bool) {
	m.s.mu.Lock()
	p, config := m.process, m.config
	if p != nil {
		p.stopping = true
	}
	m.s.mu.Unlock()
	if p == nil {
		return
	}
	patience := 5 * time.Second
	if config.StopConfig != nil && config.StopConfig.Timeout != nil {
		patience = config.StopConfig.Timeout.Duration
	}
	if !now {
		_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended by itself
		select {
		case <-p.done:
			return
		case <-time.After(patience):
		}
	}
	_ = p.cmd.Process.Kill() // likewise
	<-p.done
}

// kill ends the process for good, when the test ends.
func (m *machine) kill() {
	m.serial.Lock()
	defer m.serial.Unlock()
	m.stop(true)
}

// supervise waits for the process to end and applies the restart policy: with
// on-failure, status 0 means stopped until somebody starts it, anything else another
// try, up to max_retries (https://fly.io/docs/machines/guides-examples/machine-restart-policy/).
func (m *machine) supervise(p *process) {
	_ = p.cmd.Wait() // its outcome is in ProcessState
	code := p.cmd.ProcessState.ExitCode()
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	defer close(p.done)
	m.process, m.checks = nil, nil
	again := !p.stopping && code != 0 && m.config.Restart != nil &&
		m.config.Restart.Policy == fly.MachineRestartPolicyOnFailure && m.restarts < m.config.Restart.MaxRetries
	if m.state == started {
		m.state = stopped
		if again {
			m.state = "starting"
		}
	}
	m.note("exit", stopped, &fly.MachineExitEvent{ExitCode: code, RequestedStop: p.stopping, Restarting: again, ExitedAt: time.Now()})
	if again {
		m.restarts++
		instance := m.instance
		time.AfterFunc(time.Duration(m.restarts)*20*time.Millisecond, func() {
			m.s.mu.Lock()
			defer m.s.mu.Unlock()
			if m.instance == instance {
				m.begin(func() { m.start() })
			}
		})
	}
}

// lines keeps what processes write, by line.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds output.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) add(line string) { fmt.Fprintln(l, line) }

func (l *lines) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(strings.Split(l.text.String(), "\n"), func(s string) bool { return s == "" })
}

// listens is the port the program would listen on by its configuration. s.mu is held.
func (m *machine) listens() int {
	port := 8080
	for _, env := range []map[string]string{m.config.Env, m.env} {
		if n, err := strconv.Atoi(env["PORT"]); err == nil {
			port = n
		}
	}
	return port
}
