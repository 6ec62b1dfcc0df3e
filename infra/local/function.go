package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"time"

	"roomcast/infra/child"
)

// function builds the function and puts it behind a proxy that starts it on
// request, as Fly's does. It has answered /healthz when this returns.
func (s *stack) function(ctx context.Context, env *environment, front net.Listener) error {
	scratch, err := child.NewScratch("roomcast-local-")
	if err != nil {
		return fmt.Errorf("function: %w", err)
	}
	s.add("function's directory", scratch.Remove)
	binary := filepath.Join(scratch.Dir, "roomcast")
	if err := s.step("build the function", func() error { return env.build(ctx, binary) }); err != nil {
		return err
	}
	metrics, err := child.FreePort()
	if err != nil {
		return err
	}
	env.metricsURL = "http://" + address(metrics) + "/metrics"
	m := &machine{
		binary: binary, env: append(env.ours(), fmt.Sprintf("METRICS_PORT=%d", metrics)),
		log: s.stderr, say: s.say, died: func(err error) { s.fail("function", err) },
	}
	s.add("function", m.stop)
	proxy := newProxy(m)
	s.serve("proxy", proxy, front)
	return s.step("start the function", func() error {
		conn, err := m.dial(ctx, "", "")
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// newProxy forwards to the machine. Each request has a connection of its own, and dialling is
// what starts a machine that is asleep.
func newProxy(m *machine) *http.Server {
	target := &url.URL{Scheme: "http", Host: "function"}
	return &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.SetXForwarded()
				r.Out.Host = r.In.Host
			},
			Transport:     &http.Transport{DialContext: m.dial, DisableKeepAlives: true},
			FlushInterval: -1,
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if !errors.Is(err, context.Canceled) {
					m.say("%s %s: %v", r.Method, r.URL.Path, err)
				}
				w.WriteHeader(http.StatusBadGateway)
			},
		},
	}
}

// serve runs an HTTP server as a component of the stack.
func (s *stack) serve(name string, server *http.Server, l net.Listener) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.fail(name, err)
		}
	}()
	s.add(name, func() error {
		err := server.Close()
		<-done
		return err
	})
}
