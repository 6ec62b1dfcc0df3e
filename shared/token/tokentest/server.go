package tokentest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// JWKSPath is where Supabase Auth publishes its keys.
const JWKSPath = "/auth/v1/.well-known/jwks.json"

// KeySet publishes the public keys of signers at JWKSPath. It is a handler, to
// be mounted where a stand-in for Supabase listens; Serve listens by itself.
type KeySet struct {
	mu       sync.Mutex
	body     []byte
	status   int
	requests int
	hold     chan struct{}
}

// NewKeySet publishes the keys of signers, which may be none.
func NewKeySet(signers ...Signer) (*KeySet, error) {
	s := &KeySet{status: http.StatusOK}
	return s, s.Rotate(signers...)
}

// Rotate replaces the published keys.
func (s *KeySet) Rotate(signers ...Signer) error {
	keys := make([]json.RawMessage, 0, len(signers))
	for _, signer := range signers {
		jwk, err := signer.JWK()
		if err != nil {
			return err
		}
		keys = append(keys, jwk)
	}
	body, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		return fmt.Errorf("key set: %w", err)
	}
	s.Publish(body)
	return nil
}

// Publish replaces the answer's body with anything.
func (s *KeySet) Publish(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = body
}

// Fail makes every answer have this status from now on; 200 ends that.
func (s *KeySet) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// Hold makes requests wait, after they are counted, until release is called.
func (s *KeySet) Hold() (release func()) {
	hold := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = hold
	return sync.OnceFunc(func() { close(hold) })
}

// Requests is how often the keys were asked for.
func (s *KeySet) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *KeySet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != JWKSPath {
		http.NotFound(w, r)
		return
	}
	s.mu.Lock()
	s.requests++
	body, status, hold := s.body, s.status, s.hold
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if status >= 300 && status < 400 {
		w.Header().Set("Location", JWKSPath)
	}
	w.WriteHeader(status)
	w.Write(body)
}

// Server is a KeySet that listens on a port of its own.
type Server struct {
	*KeySet
	URL  string // stands for SUPABASE_URL
	http *http.Server
	done chan struct{}
}

// Serve listens on 127.0.0.1. The caller closes the server.
func Serve(signers ...Signer) (*Server, error) {
	keys, err := NewKeySet(signers...)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	s := &Server{
		KeySet: keys,
		URL:    "http://" + l.Addr().String(),
		http:   &http.Server{Handler: keys, ReadHeaderTimeout: 5 * time.Second},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		s.http.Serve(l) // always ends in an error, ErrServerClosed if all is well
	}()
	return s, nil
}

// Close cuts what is open and waits for the server to end.
func (s *Server) Close() {
	s.http.Close()
	<-s.done
}
