package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"roomcast/infra/child"
	"roomcast/shared/event"
	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
)

// maxData is what the emulator takes of an event. It is less than the relay
// believes, so that a message can be poison: good for the relay, refused by Pusher.
const maxData = 4000

const (
	linger        = 3 * time.Second // LINGER: relays are to fall asleep in the time of a fault
	webhookSecret = "webhook-secret-of-the-fault-suite"
	jwtSecret     = "jwt-secret-of-the-fault-suite-32-characters"
	chatOwner     = "chat_owner"
	relayLogin    = "chat_relay"
	startLimits   = 5 * time.Minute // for everything together
)

// stack is all that runs, for all faults.
type stack struct {
	options
	stderr   io.Writer
	rnd      *rand.Rand
	postgres *outboxtest.Server
	admin    *pgxpool.Pool // superuser
	ownerURL string        // of the role that owns the chat's tables
	pusher   *pushertest.Server
	skew     atomic.Int64 // of Pusher's clock, a time.Duration
	front    *front
	frontURL string
	sockets  *sockets // between pages and Pusher
	relays   []*relay
	listener atomic.Pointer[ledger] // of the fault under way

	parts []func() error // how to stop what was started
}

// newStack starts everything; what is started is stopped if something fails.
func newStack(ctx context.Context, o options, settings map[string]string, stderr io.Writer) (_ *stack, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimits)
	defer cancel()
	s := &stack{options: o, stderr: stderr, rnd: rand.New(rand.NewPCG(o.seed, 0)), front: &front{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.frontURL, err = s.serveFront(); err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context) error{
		s.startPusher,
		func(ctx context.Context) error { return s.startPostgres(ctx, settings) },
		func(ctx context.Context) error { return s.installChat(ctx, s.frontURL) },
		s.startStandIns,
		s.startRelays,
	} {
		if err := part(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// stop ends all parts, last started first.
func (s *stack) stop() (err error) {
	for _, stop := range slices.Backward(s.parts) {
		err = errors.Join(err, stop())
	}
	s.parts = nil
	return err
}

func (s *stack) add(stop func() error) { s.parts = append(s.parts, stop) }

// logs is where the parts' own words go.
func (s *stack) logs() io.Writer {
	if s.verbose {
		return s.stderr
	}
	return io.Discard
}

func (s *stack) serveFront() (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("front: %w", err)
	}
	server := &http.Server{Handler: s.front, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // until Close
	}()
	s.add(func() error { err := server.Close(); <-done; return err })
	return "http://" + l.Addr().String(), nil
}

// startPusher starts the emulator; whatever it accepts goes to the ledger.
func (s *stack) startPusher(context.Context) (err error) {
	s.pusher, err = pushertest.New(pushertest.Options{
		MaxData: maxData, Record: -1,
		Clock: func() time.Time { return time.Now().Add(time.Duration(s.skew.Load())) },
	})
	if err != nil {
		return err
	}
	s.add(func() error { s.pusher.Close(); return nil })
	if s.sockets, err = openSockets(s.pusher.Addr()); err != nil {
		return err
	}
	s.add(s.sockets.close)
	s.pusher.OnEvent(func(a pushertest.Accepted) {
		l := s.listener.Load()
		if _, room, err := event.ParseChannel(a.Channel); err == nil && l != nil {
			for _, data := range unpacked(a) {
				l.accept(room, data)
			}
		}
	})
	return nil
}

// unpacked is the data of each event in what Pusher accepted. A pack that cannot be
// read is handed on as it is, for the ledger to complain.
func unpacked(a pushertest.Accepted) []string {
	events, err := event.Unpack([]byte(a.Data))
	if a.Name != event.Pack || err != nil {
		return []string{a.Data}
	}
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = string(e.Data)
	}
	return out
}

// startRelays builds the function and starts two of it.
func (s *stack) startRelays(ctx context.Context) error {
	binary, remove, err := buildFunction(ctx)
	if err != nil {
		return err
	}
	s.add(remove)
	env, err := s.relayEnv()
	if err != nil {
		return err
	}
	for range 2 {
		r := &relay{binary: binary, env: env, log: s.logs()}
		s.relays = append(s.relays, r)
		s.add(r.kill)
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	s.front.relays = s.relays
	return nil
}

// buildFunction builds the function as it is shipped; remove takes it away.
func buildFunction(ctx context.Context) (binary string, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "roomcast-faults-")
	if err != nil {
		return "", nil, fmt.Errorf("build: %w", err)
	}
	remove = func() error { return os.RemoveAll(dir) }
	binary = filepath.Join(dir, "roomcast")
	// go run has put us inside the module.
	if err := child.BuildFunction(ctx, binary); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return binary, remove, nil
}

func (s *stack) relayEnv() ([]string, error) {
	databaseURL, err := s.urlAs(relayLogin)
	if err != nil {
		return nil, err
	}
	c, kind := s.pusher.Config(), event.Private
	if s.packed {
		kind = event.Packed
	}
	return []string{
		"ROOM_CHANNELS=" + string(kind),
		"DATABASE_URL=" + databaseURL,
		"PUSHER_HOST=" + c.Host, "PUSHER_TLS=false",
		"PUSHER_APP_ID=" + c.AppID, "PUSHER_KEY=" + c.Key, "PUSHER_SECRET=" + c.Secret,
		"SUPABASE_JWT_SECRET=" + jwtSecret, "WEBHOOK_SECRET=" + webhookSecret,
		"LISTEN_HOST=127.0.0.1", "IDLE_EXIT=0", "LOG_LEVEL=info",
		"CLAIM_LEASE=" + s.timing.lease.String(), "LINGER=" + linger.String(),
	}, nil
}
