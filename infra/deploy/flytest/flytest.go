// Package flytest is Fly as far as a deploy sees it: the Machines API, the image
// registry, the log API and the proxy in front of the machines, as real HTTP servers
// on 127.0.0.1. A machine runs the program of its image as a process of this
// computer, so that health checks, wake-ups and exits are real.
//
// Every request and answer of the Machines API is held against a description of it
// (openapi.yaml); a test in which the two disagree fails.
//
// Not imitated: other processes than the image's entry point, volumes, private
// networks, TLS, suspension, machines of different hosts. All machines share the
// computer's ports, so a process is told another PORT than its configuration says;
// see machine.environ.
package flytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is one Fly, with one organization and one valid token.
type Server struct {
	Token string

	tb       testing.TB
	dir      string // of the programs pulled out of images
	api      *httptest.Server
	registry *httptest.Server
	edge     *httptest.Server
	checker  *checker
	running  sync.WaitGroup // goroutines of machines

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced when anything of the following changes
	closed   bool
	count    int // for names and versions
	apps     map[string]*app
	programs map[string]*program // by image
	faults   []*fault
	requests []string // "POST /v1/apps/…", in order
	underWay int      // of these, not yet answered
	stale    bool
	hide     bool
}

// app is what Fly keeps under one name.
type app struct {
	name, org string
	ips       []string
	shared    map[string]bool
	secrets   []map[string]string // by version, the first empty
	machines  []*machine
}

// New starts a Fly without any app, and ends it with the test. What machines run is
// unpacked into dir, by the digest of its image; a dir that several tests share saves
// them the unpacking.
func New(tb testing.TB, dir string) *Server {
	tb.Helper()
	s := &Server{
		Token: "fo1_test-token", tb: tb, dir: dir,
		changed: make(chan struct{}), apps: map[string]*app{}, programs: map[string]*program{},
	}
	s.checker = newChecker(tb)
	s.api = httptest.NewServer(s.checker.watch(s.routes()))
	s.registry = httptest.NewServer(s.newRegistry())
	s.edge = httptest.NewServer(http.HandlerFunc(s.proxy))
	tb.Cleanup(s.close)
	return s
}

// close ends every process and server, and reports where the API was not as described.
func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	var all []*machine
	for _, a := range s.apps {
		all = append(all, a.machines...)
	}
	s.mu.Unlock()
	for _, m := range all {
		m.kill()
	}
	s.running.Wait()
	s.edge.Close()
	s.registry.Close()
	s.api.Close()
	s.checker.report(s.tb)
}

// Getenv is the environment of a deploy to this Fly.
func (s *Server) Getenv(name string) string {
	switch name {
	case "FLY_API_TOKEN":
		return s.Token
	case "FLY_FLAPS_BASE_URL", "FLY_API_BASE_URL":
		return s.api.URL
	case "FLY_REGISTRY_HOST":
		return strings.TrimPrefix(s.registry.URL, "http://")
	}
	return ""
}

// API is the address of the Machines API, for FLY_FLAPS_BASE_URL in the environment of a
// process: fly-go by itself reads it nowhere else.
func (s *Server) API() string { return s.api.URL }

// URL is where the proxy answers for the one app that this Fly has. It knows the
// header Fly-Force-Instance-Id, and starts a machine that sleeps.
func (s *Server) URL() string { return s.edge.URL }

// Requests are the calls of the Machines API so far that changed something, such as
// "POST /v1/apps/roomcast/machines".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// Idle reports whether every change that was asked for is done. A change goes on though
// its caller has disconnected.
func (s *Server) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.underWay == 0
}

// Machine is one machine as it is now.
type Machine struct {
	ID, State, Region, Image string
	Metadata                 map[string]string
	Version                  string // changes with every update
	Leased                   bool
}

// Machines are those of the app that were not destroyed, in order of creation.
func (s *Server) Machines(name string) (list []Machine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[name]
	if a == nil {
		return nil
	}
	for _, m := range a.machines {
		if m.state == destroyed {
			continue
		}
		one := Machine{ID: m.id, State: m.state, Region: m.region, Image: m.config.Image, Metadata: map[string]string{},
			Version: m.instance, Leased: m.lease != nil && time.Now().Before(m.lease.expires)}
		for key, value := range m.config.Metadata {
			one.Metadata[key] = value
		}
		list = append(list, one)
	}
	return list
}

// Secrets are the app's secrets by name.
func (s *Server) Secrets(name string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[name]
	if a == nil {
		return nil
	}
	return a.secrets[len(a.secrets)-1]
}

// Wait waits until ok is true; it is asked again after every change of this Fly.
func (s *Server) Wait(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	timeout := time.After(90 * time.Second)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			tb.Fatalf("flytest: waited in vain for %s", what)
		}
	}
}

// announce wakes those who wait for a change. s.mu is held.
func (s *Server) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// next makes names that are unique and sort by age. s.mu is held.
func (s *Server) next(format string) string {
	s.count++
	return fmt.Sprintf(format, s.count)
}
