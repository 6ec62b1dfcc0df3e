package pushertest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// adminRoutes lets another process do what tests do by method calls. For the local stack
// only: any process that reaches the port may use it.
//
//	POST   /admin/faults        inject a Fault; members as in fault.go, durations as "1.5s"
//	DELETE /admin/faults        Clear
//	POST   /admin/cut           Cut
//	GET    /admin/events?from=  remembered events from that index on
//	GET    /admin/stats         Stats
//
// Browsers are kept out: a page of another origin cannot send application/json without a
// preflight, which is not answered.
func (s *Server) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /admin/faults", s.admin(func(r *http.Request) (any, error) {
		f, err := decodeFault(r.Body)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "Invalid fault: %v", err)
		}
		s.Inject(f)
		return struct{}{}, nil
	}))
	mux.HandleFunc("DELETE /admin/faults", s.admin(func(*http.Request) (any, error) {
		s.Clear()
		return struct{}{}, nil
	}))
	mux.HandleFunc("POST /admin/cut", s.admin(func(*http.Request) (any, error) {
		s.Cut()
		return struct{}{}, nil
	}))
	mux.HandleFunc("GET /admin/events", s.admin(func(r *http.Request) (any, error) {
		events := s.Events()
		from, _ := strconv.Atoi(r.FormValue("from")) // nothing or nonsense: all
		return events[min(max(0, from), len(events)):], nil
	}))
	mux.HandleFunc("GET /admin/stats", s.admin(func(*http.Request) (any, error) {
		return s.Stats(), nil
	}))
}

func (s *Server) admin(handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json" {
			s.answer(w, r, nil, refuse(http.StatusUnsupportedMediaType, "Content-Type must be application/json"))
			return
		}
		result, err := handle(r)
		s.answer(w, r, result, err)
	}
}

// decodeFault reads a Fault whose durations are written as Go writes them.
func decodeFault(body io.Reader) (Fault, error) {
	var in struct {
		Fault
		Delay      string `json:"delay"`
		RetryAfter string `json:"retry_after"`
	}
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields() // a misspelt fault would break nothing, and look like a pass
	if err := dec.Decode(&in); err != nil {
		return Fault{}, err
	}
	var err1, err2 error
	if in.Delay != "" {
		in.Fault.Delay, err1 = time.ParseDuration(in.Delay)
	}
	if in.RetryAfter != "" {
		in.Fault.RetryAfter, err2 = time.ParseDuration(in.RetryAfter)
	}
	return in.Fault, errors.Join(err1, err2)
}
