package flytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	fly "github.com/superfly/fly-go"
)

// probeEvery is how often a health check runs. Fly's intervals are seconds; what is
// configured is an upper bound here.
const probeEvery = 20 * time.Millisecond

// coldStart is how long the proxy holds a request for a machine that starts.
const coldStart = 10 * time.Second

// probe runs the service's checks as long as the process lives.
func (m *machine) probe(p *process) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		m.s.mu.Lock()
		config, listens := m.config, m.listens()
		m.s.mu.Unlock()
		checks := runChecks(client, config, listens, p.port)
		m.s.mu.Lock()
		if m.process == p && m.config == config {
			m.checks = checks
			m.s.announce()
		}
		m.s.mu.Unlock()
		select {
		case <-ticker.C:
		case <-p.done:
			return
		}
	}
}

// runChecks asks each HTTP check's path. A service that names another port than the
// program listens on gets what it would get on Fly: nothing.
func runChecks(client *http.Client, config *fly.MachineConfig, listens, port int) (checks []*fly.MachineCheckStatus) {
	for i, service := range config.Services {
		for j, check := range service.Checks {
			status := &fly.MachineCheckStatus{
				Name:   fmt.Sprintf("servicecheck-%02d-http-%d", i+j, service.InternalPort),
				Status: fly.Critical, UpdatedAt: new(time.Now()),
			}
			checks = append(checks, status)
			if service.InternalPort != listens {
				status.Output = "connect: connection refused"
				continue
			}
			answer, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, *check.HTTPPath))
			if err != nil {
				status.Output = err.Error()
				continue
			}
			text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
			answer.Body.Close()
			status.Output = fmt.Sprintf("HTTP GET: %s Output: %s", answer.Status, text)
			if answer.StatusCode/100 == 2 {
				status.Status = fly.Passing
			}
		}
	}
	return checks
}

var errNobody = errors.New("no machine can take the request")

// proxy is what stands at the public address: it picks a machine, or the one that the
// request insists on, starts it if it sleeps, and waits until it is healthy.
func (s *Server) proxy(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), coldStart)
	defer cancel()
	port, err := s.route(ctx, r.Header.Get("Fly-Force-Instance-Id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	target := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	(&httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(target); pr.Out.Host = pr.In.Host },
		Transport: &http.Transport{DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}).ServeHTTP(w, r)
}

// route finds the port of a machine that is ready. One that is forced need not be
// healthy: the proxy tries it all the same.
func (s *Server) route(ctx context.Context, forced string) (port int, err error) {
	for {
		s.mu.Lock()
		changed := s.changed
		ready, asleep := s.candidates(forced)
		if ready == nil && asleep != nil {
			asleep.state = "starting"
			asleep.begin(func() { asleep.start() })
		}
		if ready != nil {
			port = ready.process.port
		}
		s.mu.Unlock()
		if ready != nil {
			return port, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, errNobody
		}
	}
}

// candidates are a machine that can take a request now and one that could be started
// for it, if none is on its way. s.mu is held.
func (s *Server) candidates(forced string) (ready, asleep *machine) {
	coming := false
	for _, a := range s.apps {
		for _, m := range a.machines {
			if forced != "" && m.id != forced {
				continue
			}
			switch {
			case m.process != nil && (healthy(m) || forced != ""):
				ready = m
			case (m.state == stopped || m.state == created) && autostarts(m):
				asleep = m
			case m.process != nil || m.state == "starting":
				coming = true
			}
		}
	}
	if coming {
		asleep = nil
	}
	return ready, asleep
}

func healthy(m *machine) bool {
	v := fly.Machine{Checks: m.checks}
	checks := v.AllHealthChecks()
	return checks.Total > 0 && checks.AllPassing()
}

func autostarts(m *machine) bool {
	return len(m.config.Services) > 0 && m.config.Services[0].Autostart != nil && *m.config.Services[0].Autostart
}
