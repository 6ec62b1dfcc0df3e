package flytest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// description is ours, of the endpoints that a deploy uses. Fly's own document
// (superfly/docs, machines-api/openapi.json, Apache 2.0) describes ten times as much
// and leaves nearly every field open; where fly-go departs from it, ours says so.
//
//go:embed openapi.yaml
var description []byte

// OfficialDocument names, in the environment, a copy of Fly's own document to check
// against in place of ours. The departures that openapi.yaml lists then show as
// failures; see TestOfficialDocument.
const OfficialDocument = "FLYTEST_OPENAPI"

// checker holds requests and answers against the description.
type checker struct {
	router  routers.Router
	lenient bool // operations that are not described are not wrong

	mu     sync.Mutex
	faults map[string]string // by operation, the first of each
}

func newChecker(tb testing.TB) *checker {
	tb.Helper()
	text, lenient := description, false
	if path := os.Getenv(OfficialDocument); path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			tb.Fatal(err)
		}
		lenient = true
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		tb.Fatalf("flytest: description: %v", err)
	}
	doc.Servers = nil // it is asked at another address
	if lenient && doc.Paths.Find("/apps") != nil {
		doc.Servers = openapi3.Servers{{URL: "/v1"}} // an older edition, with its paths below /v1
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		tb.Fatalf("flytest: description: %v", err)
	}
	return &checker{router: router, lenient: lenient, faults: map[string]string{}}
}

// watch checks what passes through the Machines API. An answer that was spoiled on
// purpose is not checked: Fly's edge answers in ways that nobody describes.
func (c *checker) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/") {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		r.Body = c.sober(body)
		r.ContentLength = -1
		c.check(r, rec)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes()) // likewise
	})
}

// sober takes out of a body what fly-go writes into every service though Fly's
// document has no place for it: a null for force_instance_key, and a boolean for
// autostop (which the document's own prose allows). The first fault found in a body
// would otherwise hide all others.
func (c *checker) sober(body []byte) io.ReadCloser {
	if c.lenient {
		body = regexp.MustCompile(`,?"(force_instance_key":null|autostop":(true|false))`).ReplaceAll(body, nil)
	}
	return io.NopCloser(bytes.NewReader(body))
}

func (c *checker) check(r *http.Request, rec *httptest.ResponseRecorder) {
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		if !c.lenient {
			c.note(r.Method+" "+r.URL.Path, fmt.Errorf("not described: %w", err))
		}
		return
	}
	operation := r.Method + " " + route.Path
	request := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if err := openapi3filter.ValidateRequest(context.Background(), request); err != nil && rec.Code != http.StatusBadRequest {
		c.note(operation, fmt.Errorf("request: %w", err))
	}
	if rec.Code >= 400 {
		return // only that there is an error is described
	}
	response := &openapi3filter.ResponseValidationInput{RequestValidationInput: request, Status: rec.Code, Header: rec.Header(),
		Body: c.sober(rec.Body.Bytes()), Options: &openapi3filter.Options{IncludeResponseStatus: true}}
	if err := openapi3filter.ValidateResponse(context.Background(), response); err != nil {
		c.note(operation, fmt.Errorf("answer: %w", err))
	}
}

func (c *checker) note(operation string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults[operation] == "" {
		c.faults[operation] = err.Error()
	}
}

// report fails the test for every operation that was not as described.
func (c *checker) report(tb testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lenient {
		return // TestOfficialDocument judges
	}
	var all []error
	for operation, fault := range c.faults {
		all = append(all, fmt.Errorf("%s: %s", operation, fault))
	}
	if err := errors.Join(all...); err != nil {
		tb.Errorf("flytest: not as openapi.yaml says:\n%v", err)
	}
}

// Departures are the operations that were not as the document says, with the first
// fault of each.
func (s *Server) Departures() map[string]string {
	s.checker.mu.Lock()
	defer s.checker.mu.Unlock()
	found := map[string]string{}
	for operation, fault := range s.checker.faults {
		found[operation] = fault
	}
	return found
}
