package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"roomcast/shared/pusher/pushertest"
)

// defaultPort is the function's own default; see PORT.
const defaultPort = 8080

// assemble starts every component in the order in which they need one another. The
// addresses come first: each side must know the other's before it starts.
func (s *stack) assemble(ctx context.Context, o options) (*environment, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	front, err := listenFunction(o.port)
	if err != nil {
		return nil, err
	}
	s.add("function's port", func() error { return ignoreClosed(front.Close()) })
	page, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	s.add("demo's port", func() error { return ignoreClosed(page.Close()) })
	env := &environment{
		roomcastURL: "http://" + front.Addr().String(), demoURL: "http://" + page.Addr().String(),
		jwtSecret: secret() + secret(), webhookSecret: secret(), paritySecret: secret(),
		caller: o.caller,
	}
	if env.app, err = s.pusher(o.pusher); err != nil {
		return nil, err
	}
	if !o.demo {
		return env, s.given(ctx, root, o.postgres, env, front, page)
	}
	db, err := s.database(ctx, o.postgres)
	if err != nil {
		return nil, err
	}
	env.databaseURL, env.relayURL = db.owner, db.relay
	if err := env.admit(demoRoom, demoPeople()); err != nil {
		return nil, err
	}
	if err := s.roomcast(ctx, db, env); err != nil {
		return nil, err
	}
	if o.pooler {
		if env.relayURL, err = s.pooler(ctx, db, env.relayURL); err != nil {
			return nil, err
		}
	}
	if err := s.function(ctx, env, front); err != nil {
		return nil, err
	}
	return env, s.demo(ctx, root, db, env, page)
}

// pusher uses the app it is given, or starts the emulator.
func (s *stack) pusher(given *app) (*app, error) {
	if given != nil {
		return given, nil
	}
	emulator, err := pushertest.New(pushertest.Options{AppID: "local", Key: secret(), Secret: secret(), Admin: true})
	if err != nil {
		return nil, fmt.Errorf("pusher emulator: %w", err)
	}
	s.add("pusher emulator", func() error { emulator.Close(); return nil })
	c := emulator.Config()
	return &app{host: c.Host, id: c.AppID, key: c.Key, secret: c.Secret}, nil
}

// listenFunction opens the function's port: the one asked for, else the usual
// one, else any.
func listenFunction(port int) (net.Listener, error) {
	if port != 0 {
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			return nil, fmt.Errorf("-port: %w", err)
		}
		return l, nil
	}
	l, err := net.Listen("tcp", address(defaultPort))
	if errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", address(0))
	}
	if err != nil {
		return nil, fmt.Errorf("function's port: %w", err)
	}
	return l, nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// ignoreClosed forgives closing what its HTTP server has closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
