package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// sockets is the network between pages and Pusher: it passes connections on, refuses
// them, or keeps them open and brings nothing.
type sockets struct {
	listener net.Listener
	pusher   string

	mu    sync.Mutex
	state socketState
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

type socketState int

const (
	passing socketState = iota
	refusing
	silent
)

func openSockets(pusher string) (*sockets, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sockets{listener: l, pusher: pusher, conns: map[net.Conn]bool{}}
	s.done.Go(s.serve)
	return s, nil
}

func (s *sockets) address() string { return s.listener.Addr().String() }

func (s *sockets) serve() {
	for {
		near, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.is(refusing) {
			_ = near.Close()
			continue
		}
		far, err := net.DialTimeout("tcp", s.pusher, time.Second)
		if err != nil {
			_ = near.Close()
			continue
		}
		s.mu.Lock()
		s.conns[near], s.conns[far] = true, true
		s.mu.Unlock()
		s.done.Go(func() { s.copy(near, far) })
		s.done.Go(func() { s.copy(far, near) })
	}
}

// copy goes on until either end closes. What comes while the network is silent is lost.
func (s *sockets) copy(to, from net.Conn) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !s.is(silent) {
			if _, failed := to.Write(buf[:n]); failed != nil {
				err = io.ErrClosedPipe
			}
		}
		if err != nil {
			break
		}
	}
	for _, c := range []net.Conn{to, from} {
		_ = c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}
}

func (s *sockets) is(state socketState) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == state
}

func (s *sockets) set(state socketState, cut bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	for c := range s.conns {
		if cut {
			_ = c.Close()
		}
	}
	return nil
}

// refuse ends all connections and lets none begin.
func (s *sockets) refuse() error { return s.set(refusing, true) }

// silence keeps connections and loses all that goes over them, also over new ones.
func (s *sockets) silence() error { return s.set(silent, false) }

// pass is the network as it should be. Connections that were silent are ended: bytes are
// missing in them.
func (s *sockets) pass() error { return s.set(passing, true) }

func (s *sockets) close() error {
	err := s.listener.Close()
	_ = s.set(refusing, true)
	s.done.Wait()
	return err
}
