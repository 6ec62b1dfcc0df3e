// Package pgnet stands in for the Postgres extension pg_net where it is not
// installed: [Install] makes its tables and functions, a [Sender] does what its
// background worker does, including what the worker does not do: it never
// sends a request a second time, and loses what a crash of Postgres takes.
//
// As measured on 0.20.4 and read in its src/worker.c:
// batches of 200 in one transaction, all requests at once, the next batch only
// after the slowest answer and a pause of up to a second.
package pgnet

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"roomcast/shared/backoff"
	"roomcast/shared/outbox/outboxtest/standin"
)

//go:embed pgnet.sql
var schema string

const (
	// batchSize is pg_net.batch_size's default.
	batchSize = 200
	// pause is what the worker sleeps after a batch unless woken, and before it
	// starts again after an error.
	pause = time.Second
	// timeToLive is pg_net.ttl's default: how long responses are kept.
	timeToLive = 6 * time.Hour
)

// Installed reports whether the database has pg_net itself, which then needs
// neither Install nor a Sender.
func Installed(ctx context.Context, databaseURL string) (bool, error) {
	return standin.Present(ctx, databaseURL, "pgnet", "select exists (select from pg_extension where extname = 'pg_net')")
}

// Install creates the schema net. The URL's role must be allowed to create
// schemas. Twice is harmless.
func Install(ctx context.Context, databaseURL string) error {
	return standin.Install(ctx, databaseURL, "pgnet", schema)
}

// Sender sends what is queued in net.http_request_queue. A database has one.
type Sender struct {
	url    string
	client *http.Client
	cancel context.CancelFunc
	done   sync.WaitGroup

	// shouldWake and latch are the worker's own pair: a wake sets the latch only
	// if no other wake is pending, so that a busy worker sleeps its whole pause.
	shouldWake atomic.Bool
	latch      chan struct{}

	requests atomic.Int64
	failures atomic.Int64
	locked   atomic.Int64
}

// Start begins sending, until ctx ends or Stop is called. When it returns, a
// commit that queues a request is noticed. A sender whose database goes away
// tries to come back every second.
func Start(ctx context.Context, databaseURL string) (*Sender, error) {
	listener, err := listen(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Sender{
		url: databaseURL,
		client: &http.Client{Transport: &http.Transport{
			DisableCompression:  true, // curl does not ask for it
			MaxIdleConnsPerHost: batchSize,
		}},
		cancel: cancel,
		latch:  make(chan struct{}, 1),
	}
	s.wake() // for what was queued before
	s.done.Go(func() { s.hear(ctx, listener) })
	s.done.Go(func() { s.work(ctx) })
	return s, nil
}

// Requests returns how many HTTP requests have been begun.
func (s *Sender) Requests() int64 { return s.requests.Load() }

// Failures returns how many requests got no answer, or none in time.
func (s *Sender) Failures() int64 { return s.failures.Load() }

// Locked returns how many rounds were ended because the tables were locked.
func (s *Sender) Locked() int64 { return s.locked.Load() }

// Stop ends the sender and waits for it. Requests under way are cut off; their
// rows stay in the queue.
func (s *Sender) Stop() {
	s.cancel()
	s.done.Wait()
	s.client.CloseIdleConnections()
}

func (s *Sender) wake() {
	if s.shouldWake.CompareAndSwap(false, true) {
		select {
		case s.latch <- struct{}{}:
		default:
		}
	}
}

func listen(ctx context.Context, databaseURL string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return nil, fmt.Errorf("pgnet: %w", err)
	}
	if _, err := conn.Exec(ctx, "listen pgnet_wake"); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("pgnet listen: %w", err)
	}
	return conn, nil
}

// hear turns notifications into wakes, and listens again when its connection breaks.
func (s *Sender) hear(ctx context.Context, conn *pgx.Conn) {
	for {
		for conn != nil {
			if _, err := conn.WaitForNotification(ctx); err != nil {
				conn.Close(context.WithoutCancel(ctx))
				conn = nil
				break
			}
			s.wake()
		}
		if !backoff.Sleep(ctx, pause) {
			return
		}
		if again, err := listen(ctx, s.url); err == nil {
			conn = again
			s.wake() // a notification may have been missed
		}
	}
}
