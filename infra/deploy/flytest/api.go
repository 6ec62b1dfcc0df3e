package flytest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	fly "github.com/superfly/fly-go"
	"github.com/superfly/fly-go/flaps"
)

// reply is one answer of the API.
type reply struct {
	status int
	body   any // nil is an empty body
}

// refuse is an answer in Fly's form for errors.
func refuse(status int, format string, args ...any) reply {
	return reply{status, map[string]string{"error": fmt.Sprintf(format, args...)}}
}

// routes are those of the Machines API that a deploy uses, and the log API.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h func(*http.Request) reply) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, pattern, h) })
	}
	handle("GET /v1/apps/{app}", s.inApp(s.showApp))
	handle("POST /v1/apps", s.createApp)
	handle("GET /v1/apps/{app}/ip_assignments", s.inApp(s.listIPs))
	handle("POST /v1/apps/{app}/ip_assignments", s.inApp(s.assignIP))
	handle("GET /v1/apps/{app}/secrets", s.inApp(s.listSecrets))
	handle("POST /v1/apps/{app}/secrets", s.inApp(s.updateSecrets))

	const machines = "/v1/apps/{app}/machines"
	handle("GET "+machines, s.inApp(s.listMachines))
	handle("POST "+machines, s.inApp(s.createMachine))
	handle("GET "+machines+"/{id}", s.onMachine(s.showMachine))
	handle("POST "+machines+"/{id}", s.onMachine(s.updateMachine))
	handle("DELETE "+machines+"/{id}", s.onMachine(s.destroyMachine))
	handle("POST "+machines+"/{id}/start", s.onMachine(s.startMachine))
	handle("POST "+machines+"/{id}/stop", s.onMachine(s.stopMachine))
	handle("GET "+machines+"/{id}/wait", s.onMachine(s.waitMachine))
	handle("POST "+machines+"/{id}/metadata/{key}", s.onMachine(s.setMetadata))
	handle("GET "+machines+"/{id}/lease", s.onMachine(s.showLease))
	handle("POST "+machines+"/{id}/lease", s.onMachine(s.takeLease))
	handle("DELETE "+machines+"/{id}/lease", s.onMachine(s.releaseLease))

	handle("GET /api/v1/apps/{app}/logs", s.showLogs)
	return mux
}

// serve checks the token, notes what changes something, and answers, or spoils it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, pattern string, h func(*http.Request) reply) {
	if got := r.Header.Get("Authorization"); got != "Bearer "+s.Token {
		refuse(http.StatusUnauthorized, "Authenticate: token validation error").write(w)
		return
	}
	if r.Method != http.MethodGet && !strings.HasSuffix(pattern, "/lease") {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		s.underWay++
		s.announce()
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.underWay--
			s.announce()
		}()
	}
	if f := s.faulty(pattern); f != nil {
		f.spoil(w, r, func(w http.ResponseWriter, r *http.Request) { h(r).write(w) })
		return
	}
	h(r).write(w)
}

func (rep reply) write(w http.ResponseWriter) {
	if rep.body == nil {
		w.WriteHeader(rep.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(rep.status)
	_ = json.NewEncoder(w).Encode(rep.body) // a client that has gone sees nothing
}

func (s *Server) app(name string) *app {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apps[name]
}

// inApp finds the app and holds s.mu for its handler.
func (s *Server) inApp(h func(*app, *http.Request) reply) func(*http.Request) reply {
	return func(r *http.Request) reply {
		a := s.app(r.PathValue("app"))
		if a == nil {
			return refuse(http.StatusNotFound, "app not found")
		}
		return h(a, r)
	}
}

func (s *Server) showApp(a *app, _ *http.Request) reply {
	return reply{http.StatusOK, flaps.App{ID: a.name, Name: a.name, Status: "deployed",
		Organization: flaps.AppOrganizationInfo{Name: a.org, Slug: a.org}}}
}

func (s *Server) createApp(r *http.Request) reply {
	var in flaps.CreateAppRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name == "" || in.Org == "" {
		return refuse(http.StatusBadRequest, "name and org_slug are needed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.apps[in.Name] != nil {
		return refuse(http.StatusUnprocessableEntity, "Validation failed: Name has already been taken")
	}
	s.apps[in.Name] = &app{name: in.Name, org: in.Org, shared: map[string]bool{}, secrets: []map[string]string{{}}}
	return reply{http.StatusCreated, map[string]any{"id": in.Name, "created_at": 1708631799000}}
}

func (s *Server) listIPs(a *app, _ *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := flaps.ListIPAssignmentsResponse{IPs: []flaps.IPAssignment{}}
	for _, ip := range a.ips {
		list.IPs = append(list.IPs, flaps.IPAssignment{IP: ip, Shared: a.shared[ip]})
	}
	return reply{http.StatusOK, list}
}

func (s *Server) assignIP(a *app, r *http.Request) reply {
	var in flaps.AssignIPRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var ip string
	switch in.Type {
	case "shared_v4":
		ip = s.next("66.241.125.%d")
		a.shared[ip] = true
	case "v6":
		ip = s.next("2a09:8280:1::%d")
	default:
		return refuse(http.StatusBadRequest, "flytest: no addresses of type %q", in.Type)
	}
	a.ips = append(a.ips, ip)
	return reply{http.StatusOK, flaps.IPAssignment{IP: ip, Shared: a.shared[ip]}}
}

func (s *Server) listSecrets(a *app, r *http.Request) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	show := r.URL.Query().Get("show_secrets") == "true" && !s.hide
	return reply{http.StatusOK, fly.ListAppSecretsResp{Secrets: secretList(a, show)}}
}

// secretList gives the values or a digest only, as Fly does.
func secretList(a *app, show bool) []fly.AppSecret {
	list := []fly.AppSecret{}
	now := a.secrets[len(a.secrets)-1]
	for _, name := range slices.Sorted(maps.Keys(now)) {
		sum := sha256.Sum256([]byte(a.name + now[name]))
		one := fly.AppSecret{Name: name, Digest: hex.EncodeToString(sum[:8])}
		if show {
			one.Value = new(now[name])
		}
		list = append(list, one)
	}
	return list
}

func (s *Server) updateSecrets(a *app, r *http.Request) reply {
	var in fly.UpdateAppSecretsRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(a.secrets[len(a.secrets)-1])
	for name, value := range in.Values {
		if value == nil {
			delete(next, name)
		} else {
			next[name] = *value
		}
	}
	a.secrets = append(a.secrets, next)
	return reply{http.StatusOK, fly.UpdateAppSecretsResp{Secrets: secretList(a, false), Version: uint64(len(a.secrets) - 1)}}
}

// showLogs answers as Fly's log API, from what the machine's processes wrote.
func (s *Server) showLogs(r *http.Request) reply {
	a := s.app(r.PathValue("app"))
	if a == nil {
		return refuse(http.StatusNotFound, "app not found")
	}
	m := s.machine(a, r.URL.Query().Get("instance"))
	if m == nil {
		return refuse(http.StatusNotFound, "machine not found")
	}
	type entry struct {
		ID         string       `json:"id"`
		Attributes fly.LogEntry `json:"attributes"`
	}
	data := []entry{}
	for i, line := range m.log.lines() {
		data = append(data, entry{fmt.Sprint(i), fly.LogEntry{Instance: m.id, Message: line, Region: m.region}})
	}
	return reply{http.StatusOK, map[string]any{"data": data, "meta": map[string]string{"next_token": ""}}}
}
