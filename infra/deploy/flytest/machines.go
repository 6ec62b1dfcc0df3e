package flytest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	fly "github.com/superfly/fly-go"
)

// nonceHeader shows that the caller holds a machine's lease.
const nonceHeader = "fly-machine-lease-nonce"

type lease struct {
	nonce, owner string
	expires      time.Time
}

func (s *Server) machine(a *app, id string) *machine {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(a.machines, func(m *machine) bool { return m.id == id })
	if i < 0 {
		return nil
	}
	return a.machines[i]
}

func (s *Server) onMachine(h func(*machine, *http.Request) reply) func(*http.Request) reply {
	return s.inApp(func(a *app, r *http.Request) reply {
		m := s.machine(a, r.PathValue("id"))
		if m == nil {
			return refuse(http.StatusNotFound, "machine not found")
		}
		return h(m, r)
	})
}

func (s *Server) listMachines(a *app, r *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []fly.Machine{}
	for _, m := range a.machines {
		wanted := r.URL.Query().Get("state")
		if m.state != destroyed && (wanted == "" || slices.Contains(strings.Split(wanted, ","), m.state)) {
			list = append(list, m.view())
		}
	}
	return reply{http.StatusOK, list}
}

// createMachine takes an image only if the registry has it, and launches.
func (s *Server) createMachine(a *app, r *http.Request) reply {
	in, bad := s.input(a, r)
	if bad != nil {
		return *bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &machine{s: s, app: a, id: s.next("d8%012x"), region: in.Region, state: created, created: time.Now()}
	m.name = in.Name
	if m.name == "" {
		m.name = "machine-" + m.id
	}
	a.machines = append(a.machines, m)
	m.configure(in.Config)
	m.note("launch", "created", nil)
	if !in.SkipLaunch {
		m.begin(func() { m.start() })
	}
	return reply{http.StatusOK, m.view()}
}

// input reads the body of a create or update.
func (s *Server) input(a *app, r *http.Request) (in fly.LaunchMachineInput, bad *reply) {
	refused := func(status int, text string) *reply { rep := refuse(status, "%s", text); return &rep }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Config == nil {
		return in, refused(http.StatusBadRequest, "config is needed")
	}
	if _, _, err := s.image(in.Config.Image); err != nil {
		return in, refused(http.StatusBadRequest, "failed to get manifest "+in.Config.Image)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.MinSecretsVersion != nil && *in.MinSecretsVersion >= uint64(len(a.secrets)) {
		return in, refused(http.StatusBadRequest, "min_secrets_version is not reached")
	}
	return in, nil
}

func (s *Server) showMachine(m *machine, _ *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	return reply{http.StatusOK, m.view()}
}

// updateMachine makes a new version of the machine; the former process ends first.
func (s *Server) updateMachine(m *machine, r *http.Request) reply {
	in, bad := s.input(m.app, r)
	if bad != nil {
		return *bad
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if rep, ok := m.checkLease(r); !ok {
		return rep
	}
	m.configure(in.Config)
	m.note("update", "replacing", nil)
	m.state, m.checks = "replacing", nil
	m.begin(func() {
		m.stop(false)
		if in.SkipLaunch {
			m.enter(stopped)
		} else {
			m.start()
		}
	})
	return reply{http.StatusOK, m.view()}
}

func (s *Server) startMachine(m *machine, r *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rep, ok := m.checkLease(r); !ok {
		return rep
	}
	previous := m.state
	switch previous {
	case created, stopped, started:
	default:
		return refuse(http.StatusPreconditionFailed, "failed_precondition: unable to start machine from current state: '%s'", previous)
	}
	if previous != started {
		m.state = "starting"
		m.begin(func() { m.start() })
	}
	return reply{http.StatusOK, fly.MachineStartResponse{Status: "success", PreviousState: previous}}
}

func (s *Server) stopMachine(m *machine, r *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rep, ok := m.checkLease(r); !ok {
		return rep
	}
	m.begin(func() { m.stop(false); m.enter(stopped) })
	return reply{http.StatusOK, map[string]bool{"ok": true}}
}

func (s *Server) destroyMachine(m *machine, r *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if rep, ok := m.checkLease(r); !ok {
		return rep
	}
	if m.state == started && r.URL.Query().Get("kill") != "true" {
		return refuse(http.StatusPreconditionFailed, "failed_precondition: unable to destroy machine, not currently stopped")
	}
	m.state = "destroying"
	m.begin(func() { m.stop(true); m.enter(destroyed) })
	return reply{http.StatusOK, map[string]bool{"ok": true}}
}

// waitMachine answers when the machine is in the state, or 408.
func (s *Server) waitMachine(m *machine, r *http.Request) reply {
	query := r.URL.Query()
	seconds, err := strconv.Atoi(query.Get("timeout"))
	if err != nil || seconds < 1 || seconds > 60 {
		return refuse(http.StatusBadRequest, "timeout must be 1 to 60 seconds")
	}
	timeout := time.After(time.Duration(seconds) * time.Second)
	for {
		s.mu.Lock()
		changed := s.changed
		reached := slices.Contains(query["state"], m.state) && (query.Get("version") == "" || query.Get("version") == m.instance)
		s.mu.Unlock()
		if reached {
			return reply{http.StatusOK, map[string]any{"ok": true, "state": query.Get("state")}}
		}
		select {
		case <-changed:
		case <-timeout:
			return refuse(http.StatusRequestTimeout, "deadline_exceeded: machine failed to reach desired state, %s", query.Get("state"))
		case <-r.Context().Done():
			return refuse(http.StatusRequestTimeout, "gone")
		}
	}
}

// setMetadata changes the configuration without making a version of it.
func (s *Server) setMetadata(m *machine, r *http.Request) reply {
	var in struct{ Value string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.config.Metadata[r.PathValue("key")] = in.Value
	s.announce()
	return reply{status: http.StatusNoContent}
}

// checkLease refuses a change to a machine that somebody else has leased. s.mu is held.
func (m *machine) checkLease(r *http.Request) (reply, bool) {
	if m.leased() && r.Header.Get(nonceHeader) != m.lease.nonce {
		return refuse(http.StatusConflict, "failed_precondition: machine lease currently held by %s", m.lease.owner), false
	}
	return reply{}, true
}

func (m *machine) leased() bool { return m.lease != nil && time.Now().Before(m.lease.expires) }

func (m *machine) showLeaseBody() fly.MachineLease {
	return fly.MachineLease{Status: "success", Data: &fly.MachineLeaseData{
		Nonce: m.lease.nonce, ExpiresAt: m.lease.expires.Unix(), Owner: m.lease.owner, Version: m.instance,
	}}
}

func (s *Server) showLease(m *machine, _ *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.leased() {
		return refuse(http.StatusNotFound, "lease not found")
	}
	return reply{http.StatusOK, m.showLeaseBody()}
}

// takeLease makes a lease, or with its nonce makes it last.
func (s *Server) takeLease(m *machine, r *http.Request) reply {
	ttl, err := strconv.Atoi(r.URL.Query().Get("ttl"))
	if err != nil || ttl < 1 {
		return refuse(http.StatusBadRequest, "ttl is needed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.state == destroyed {
		return refuse(http.StatusNotFound, "machine not found")
	}
	if rep, ok := m.checkLease(r); !ok {
		return rep
	}
	if !m.leased() {
		m.lease = &lease{nonce: s.next("nonce-%d"), owner: "deployer@example.com"}
	}
	m.lease.expires = time.Now().Add(time.Duration(ttl) * time.Second)
	return reply{http.StatusCreated, m.showLeaseBody()}
}

func (s *Server) releaseLease(m *machine, r *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.leased() || r.Header.Get(nonceHeader) != m.lease.nonce {
		return refuse(http.StatusConflict, "no such lease")
	}
	m.lease = nil
	s.announce()
	return reply{http.StatusOK, map[string]bool{"ok": true}}
}
