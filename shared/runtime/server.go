package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Limits of the HTTP server. Every phase of a connection has a timeout.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 60 * time.Second
	// Longer than any proxy keeps an idle connection: if the server were first,
	// a request could meet its closing.
	idleTimeout    = 3 * time.Minute
	maxHeaderBytes = 20 << 10 // token.maxLength, and what browsers and proxies add

	// maxConns bounds the open connections. An idle one takes about 20 kB, one with a
	// head half sent up to 50 kB. Fly's proxy needs no more than hard_limit (fly.toml).
	maxConns = 600
	// maxScrapers bounds the connections of the metrics port.
	maxScrapers = 20
)

// strangersGrace is how long a shutdown waits for requests that have shown no credential.
const strangersGrace = 300 * time.Millisecond

// serve is Run for a server; signals is a parameter so that tests can send them.
func serve(ctx context.Context, cfg Config, handler http.Handler, signals <-chan os.Signal) error {
	s := &server{cfg: cfg, idle: newIdle(cfg.IdleExit, cfg.busy), failed: make(chan error, 2)}
	if err := s.listen(handler); err != nil {
		return err
	}
	defer s.close()

	reason, err := s.wait(ctx, signals)
	cfg.Log.Info("leaving", "reason", reason)
	return errors.Join(err, s.drain(signals))
}

func (cfg Config) busy() bool { return cfg.Worker != nil && cfg.Worker.Busy() }

type server struct {
	cfg     Config
	idle    *idle
	main    *http.Server
	conns   *conns       // main's
	extra   *http.Server // metrics; nil if not asked for
	cancel  context.CancelFunc
	failed  chan error // what a Serve returned, other than by our own closing
	serving sync.WaitGroup
}

// listen opens every port before any is served, so that a process that calls
// itself ready is, and one that cannot be says which address was refused.
func (s *server) listen(handler http.Handler) error {
	listener, err := listenTCP(s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	var metrics net.Listener
	var metricsAddr net.Addr
	if s.cfg.MetricsAddr != "" && s.cfg.Metrics != nil {
		if metrics, err = listenTCP(s.cfg.MetricsAddr); err != nil {
			return errors.Join(fmt.Errorf("listen for metrics: %w", err), listener.Close())
		}
		metricsAddr = metrics.Addr()
	}

	// Requests live until the drain gives up on them, not until a signal comes.
	base, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.conns = newConns(listener, maxConns, s.idle)
	s.conns.proxied = s.cfg.Proxied
	s.main = s.start(base, s.conns, handler)
	if metrics != nil {
		s.extra = s.start(base, newConns(metrics, maxScrapers, nil), s.cfg.Metrics)
	}
	s.cfg.Log.Info("listening", "addr", listener.Addr(), "metrics", metricsAddr)
	if s.cfg.Ready != nil {
		s.cfg.Ready(listener.Addr(), metricsAddr)
	}
	return nil
}

// listenTCP listens without multipath TCP, which nobody in front speaks: to ask the kernel
// for it takes a fiftieth of a start.
func listenTCP(addr string) (net.Listener, error) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	return plain.Listen(context.Background(), "tcp", addr)
}

func (s *server) start(base context.Context, listener *conns, handler http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           listener.track(handler),
		ConnContext:       listener.context,
		ConnState:         listener.state,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
		// Its own answer to "OPTIONS *" reads a body that nobody has asked for.
		DisableGeneralOptionsHandler: true,
	}
	s.serving.Go(func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	})
	return srv
}

// wait returns when there is a reason to leave. Only a listener that broke is an
// error.
func (s *server) wait(ctx context.Context, signals <-chan os.Signal) (reason string, err error) {
	due, reset, stop := s.idle.timer()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return "context ended", nil
		case sig := <-signals:
			return sig.String(), nil
		case err := <-s.failed:
			return "listener failed", err
		case <-due:
			again, done := s.idle.check()
			if done {
				return "idle", nil
			}
			reset(again)
		}
	}
}

// drain gives requests three quarters of the time and the worker the rest: a
// request that hangs must not cost the worker its chance to hand back a lease.
func (s *server) drain(signals <-chan os.Signal) error {
	total := s.cfg.DrainTimeout
	if total == 0 {
		total = defaultDrain
	}
	patience, force := context.WithCancelCause(context.Background())
	ctx, stop := context.WithTimeout(patience, total)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-signals:
			force(ErrForced)
		case <-ctx.Done():
		}
	})

	err := s.finishRequests(ctx, total*3/4)
	if s.cfg.Worker != nil {
		if werr := s.cfg.Worker.Drain(ctx); werr != nil {
			err = errors.Join(err, fmt.Errorf("drain worker: %w", werr))
		}
	}
	stop()
	watch.Wait()
	defer force(nil)
	if errors.Is(context.Cause(patience), ErrForced) {
		return ErrForced
	}
	return err
}

// finishRequests stops accepting and waits for the requests marked as work, and for
// strangersGrace for the others. Then contexts are cancelled and connections closed.
func (s *server) finishRequests(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer time.AfterFunc(min(strangersGrace, limit/2), func() {
		s.conns.closeOthers()
		if s.conns.atWork() == 0 {
			s.cancel() // a handler that reads nothing does not notice that its connection is closed
		}
	}).Stop()
	err := s.main.Shutdown(ctx)
	undone := s.conns.atWork()
	s.cancel() // closing is not enough for a handler that never read its body
	if err != nil && undone == 0 {
		_ = s.main.Close() // only requests without a credential are left
		return nil
	}
	if err != nil {
		return fmt.Errorf("finish requests: %w", errors.Join(err, s.main.Close()))
	}
	return nil
}

// close ends the metrics port last, so that the way out can still be measured.
func (s *server) close() {
	s.cancel()
	if s.extra != nil {
		_ = s.extra.Close() // a scrape cut short is tried again by the scraper
	}
	s.serving.Wait()
}
