package flytest

import (
	"net/http"
	"net/http/httptest"
	"time"
)

// Fault is what happens to a request instead of its answer.
type Fault struct {
	// Done: the request is carried out first, and only its answer is spoiled.
	Done bool
	// Status is answered; 0 drops the connection.
	Status int
	// Body is answered with it; empty is a plain error.
	Body string
}

// Capacity is how Fly refuses a machine for which the region has no room.
func Capacity() Fault {
	return Fault{Status: http.StatusUnprocessableEntity,
		Body: `{"error":"insufficient resources available to fulfill request","status":"insufficient_capacity"}`}
}

type fault struct {
	Fault
	pattern     string
	skip, times int
}

// Inject spoils requests to a route of the Machines API, named by its pattern such as
// "POST /v1/apps/{app}/machines": after letting skip of them pass, the next times. A
// negative times spoils all from there on.
func (s *Server) Inject(pattern string, skip, times int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault{Fault: f, pattern: pattern, skip: skip, times: times})
}

// Heal removes all faults that were injected.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.stale, s.hide = nil, false, false
}

// KeepSecretsStale gives machines that are updated the secrets of one version ago, as
// a host does that has not heard of the new ones.
func (s *Server) KeepSecretsStale() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = true
}

// HideSecrets answers the list of secrets without their values, to any token.
func (s *Server) HideSecrets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hide = true
}

// HoldLease takes the lease of a machine for somebody else, until release.
func (s *Server) HoldLease(id, owner string) (release func()) {
	hold := func(l *lease) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range s.apps {
			for _, m := range a.machines {
				if m.id == id {
					m.lease = l
				}
			}
		}
	}
	hold(&lease{nonce: "somebody-else", owner: owner, expires: time.Now().Add(time.Hour)})
	return func() { hold(nil) }
}

// faulty finds the fault for a request, and counts it.
func (s *Server) faulty(pattern string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.pattern != pattern || f.times == 0 {
			continue
		}
		if f.skip > 0 {
			f.skip--
			continue
		}
		if f.times > 0 {
			f.times--
		}
		return &f.Fault
	}
	return nil
}

// spoil answers as the fault says, after doing what was asked if it says so.
func (f *Fault) spoil(w http.ResponseWriter, r *http.Request, do http.HandlerFunc) {
	if f.Done {
		do(httptest.NewRecorder(), r)
	}
	if f.Status == 0 {
		panic(http.ErrAbortHandler) // net/http drops the connection
	}
	body := f.Body
	if body == "" {
		body = `{"error":"injected fault"}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(body)) // a client that has gone sees nothing
}
