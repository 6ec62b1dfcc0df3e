package pushertest

import (
	"encoding/json"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Fault is something that goes wrong with the requests it matches: those of the HTTP API and
// the opening of WebSockets (GET /app/<key>). Of several faults that match a request, the one
// injected first applies.
type Fault struct {
	// Which requests; what is empty matches all.
	Method  string                   `json:"method,omitempty"`
	Path    string                   `json:"path,omitempty"`    // pattern of path.Match, such as /apps/*/batch_events
	Channel string                   `json:"channel,omitempty"` // pattern of path.Match; one event in such a channel is enough
	Match   func(*http.Request) bool `json:"-"`                 // the body is no longer there to read
	Skip    int                      `json:"skip,omitempty"`    // lets so many matching requests pass first
	Times   int                      `json:"times,omitempty"`   // how many it hits; 0 means all, until cleared

	// What happens before the request is read: first the delay, then one of the others.
	Delay      time.Duration `json:"-"`
	Hang       bool          `json:"hang,omitempty"`   // no answer until the client gives up
	Reset      bool          `json:"reset,omitempty"`  // RST instead of an answer; nothing is accepted
	Status     int           `json:"status,omitempty"` // this answer; nothing is accepted
	Body       string        `json:"body,omitempty"`
	RetryAfter time.Duration `json:"-"` // header, in whole seconds

	// What happens to a request that is otherwise good.
	ResetAfterAccept bool `json:"reset_after_accept,omitempty"` // accepted and delivered, then RST instead of the answer
	Drop             bool `json:"drop,omitempty"`               // 200, but nothing is delivered: "at most once"

	AnswerAfterAccept string `json:"answer_after_accept,omitempty"` // accepted and delivered, and 200 with this body
}

// Injection is a Fault at work.
type Injection struct {
	faults     *faults
	fault      Fault
	seen, hits int // under faults.mu
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) *Injection {
	inj := &Injection{faults: &s.faults, fault: f}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.active = append(s.faults.active, inj)
	return inj
}

// Clear removes all faults. Requests that hang or wait stay as they are.
func (s *Server) Clear() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.active = nil
}

// Hits is how many requests the fault has hit.
func (i *Injection) Hits() int {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	return i.hits
}

// Remove ends this fault and leaves the others.
func (i *Injection) Remove() {
	i.faults.mu.Lock()
	defer i.faults.mu.Unlock()
	i.faults.active = slices.DeleteFunc(i.faults.active, func(other *Injection) bool { return other == i })
}

type faults struct {
	mu     sync.Mutex
	active []*Injection
}

// take returns the fault for a request, or a zero Fault.
func (f *faults) take(r *http.Request, body []byte) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, inj := range f.active {
		if !inj.fault.matches(r, body) {
			continue
		}
		if inj.seen++; inj.seen <= inj.fault.Skip {
			continue
		}
		inj.hits++
		if inj.hits == inj.fault.Times {
			f.active = slices.Delete(f.active, i, i+1)
		}
		return inj.fault
	}
	return Fault{}
}

func (f Fault) matches(r *http.Request, body []byte) bool {
	if f.Method != "" && f.Method != r.Method || f.Match != nil && !f.Match(r) {
		return false
	}
	if ok, _ := path.Match(f.Path, r.URL.Path); f.Path != "" && !ok {
		return false
	}
	return f.Channel == "" || slices.ContainsFunc(channelsOf(body), func(name string) bool {
		ok, _ := path.Match(f.Channel, name)
		return ok
	})
}

// channelsOf reads the channels of either kind of publishing request.
func channelsOf(body []byte) []string {
	var in struct {
		Channel  string   `json:"channel"`
		Channels []string `json:"channels"`
		Batch    []event  `json:"batch"`
	}
	_ = json.Unmarshal(body, &in) // not JSON: no channels
	channels := append(in.Channels, in.Channel)
	for _, e := range in.Batch {
		channels = append(channels, e.Channel)
	}
	return channels
}

// before does what happens before the request is read, and reports whether that was all.
func (f Fault) before(w http.ResponseWriter, r *http.Request) (done bool) {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done(): // the client left, or the server stops
			return true
		}
	}
	switch {
	case f.Hang:
		<-r.Context().Done()
		return true
	case f.Reset:
		reset(w)
		return true
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
		}
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
		return true
	}
	return false
}

// reset cuts the connection with a TCP RST, so that the client sees an error at once and not
// an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // closes the connection all the same
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
