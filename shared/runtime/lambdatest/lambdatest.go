// Package lambdatest is the side of AWS Lambda that a function talks to: the
// runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html),
// as a real HTTP server, for tests that run a real function binary. It does not
// imitate Lambda's limits, freezing or scaling.
package lambdatest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a runtime API for one function.
type Server struct {
	http   *httptest.Server
	queue  chan *call
	closed chan struct{}

	mu      sync.Mutex
	pending map[string]*call // handed to the function, not answered yet
	count   int
}

// call is an event on its way through the function.
type call struct {
	id       string
	event    []byte
	deadline time.Time
	result   chan *Result // buffered: the function must not wait for the test
}

// Result is what the function made of an event.
type Result struct {
	ContentType string
	Body        []byte
	// Failed is the function's error: the event had no answer.
	Failed *FunctionError
	// BrokenOff is the error that ended a streamed body early.
	BrokenOff *FunctionError
}

// FunctionError is an error as the function reports it.
type FunctionError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// New starts a runtime API on 127.0.0.1 and ends it with the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{queue: make(chan *call), closed: make(chan struct{}), pending: map[string]*call{}}
	mux := http.NewServeMux()
	const api = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+api+"invocation/next", s.next)
	mux.HandleFunc("POST "+api+"invocation/{id}/response", s.response)
	mux.HandleFunc("POST "+api+"invocation/{id}/error", s.failure)
	s.http = httptest.NewServer(mux)
	tb.Cleanup(func() {
		close(s.closed) // first: a function waiting for its next event holds a connection
		s.http.Close()
	})
	return s
}

// Env is what Lambda adds to a function's environment.
func (s *Server) Env() []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(s.http.URL, "http://"),
		"AWS_LAMBDA_FUNCTION_NAME=roomcast",
	}
}

// Start runs cmd as the function: with Env added to its environment, until the
// test ends. It returns a channel that is closed when the process has ended.
func (s *Server) Start(tb testing.TB, cmd *exec.Cmd) (exited <-chan struct{}) {
	tb.Helper()
	cmd.Env = append(cmd.Environ(), s.Env()...)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = cmd.Wait() // killed below, or of its own accord: either way it is gone
	}()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
	})
	return gone
}

// Invoke passes event to the function and waits for what it makes of it. timeout
// is the function's own (it is told, not held to it); the wait ends with ctx.
func (s *Server) Invoke(ctx context.Context, event []byte, timeout time.Duration) (*Result, error) {
	s.mu.Lock()
	s.count++
	id := fmt.Sprintf("invocation-%d", s.count)
	s.mu.Unlock()
	c := &call{id: id, event: event, deadline: time.Now().Add(timeout), result: make(chan *Result, 1)}
	select {
	case s.queue <- c:
	case <-ctx.Done():
		return nil, fmt.Errorf("no function asked for the event: %w", ctx.Err())
	}
	select {
	case res := <-c.result:
		return res, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the function did not answer: %w", ctx.Err())
	}
}

// next holds the function's request until there is an event, as Lambda does.
func (s *Server) next(w http.ResponseWriter, r *http.Request) {
	select {
	case c := <-s.queue:
		s.mu.Lock()
		s.pending[c.id] = c
		s.mu.Unlock()
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", c.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(c.deadline.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:roomcast")
		_, _ = w.Write(c.event) // a function that has gone shows in Invoke
	case <-s.closed:
		http.Error(w, "shutting down", http.StatusServiceUnavailable)
	case <-r.Context().Done():
	}
}

// response takes an answer. A streamed one may end in trailers that say why it
// broke off.
func (s *Server) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	res := &Result{ContentType: r.Header.Get("Content-Type"), Body: body}
	switch {
	case err != nil:
		res.BrokenOff = &FunctionError{Type: "lambdatest.Transport", Message: err.Error()}
	case r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "":
		res.BrokenOff = trailerError(r.Trailer)
	}
	s.finish(w, r, res)
}

func trailerError(trailer http.Header) *FunctionError {
	var e FunctionError
	raw, err := base64.StdEncoding.DecodeString(trailer.Get("Lambda-Runtime-Function-Error-Body"))
	if err != nil || json.Unmarshal(raw, &e) != nil {
		e = FunctionError{Type: "lambdatest.BadTrailer"}
	}
	return &e
}

// failure takes the report that an event had no answer.
func (s *Server) failure(w http.ResponseWriter, r *http.Request) {
	var e FunctionError
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		http.Error(w, "unreadable error", http.StatusBadRequest)
		return
	}
	s.finish(w, r, &Result{Failed: &e})
}

// finish accepts one result per event, as Lambda does.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, res *Result) {
	s.mu.Lock()
	c, found := s.pending[r.PathValue("id")]
	delete(s.pending, r.PathValue("id"))
	s.mu.Unlock()
	if !found {
		http.Error(w, "no such invocation", http.StatusBadRequest)
		return
	}
	c.result <- res
	w.WriteHeader(http.StatusAccepted)
}
