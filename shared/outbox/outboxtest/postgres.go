// Package outboxtest runs a real Postgres for tests and for the local stack.
//
// It exists because the outbox's promises are made of row locks, snapshots and
// crash recovery, which no fake has. A cluster belongs to the process that
// started it: when that process ends, in whatever way, a watchdog stops the
// server and removes its directory.
package outboxtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// superuser is the name initdb gives the cluster's first role.
const superuser = "postgres"

// portAttempts bounds the tries for a port: another process may take a free
// port between the moment it is found and the moment Postgres binds it.
const portAttempts = 5

// Options says how a cluster is made. The zero value suits tests.
type Options struct {
	// Bin holds initdb and postgres; by default the newest found by FindBin.
	Bin string
	// Dir becomes the cluster's directory. It must be empty or absent, and is
	// removed by Stop. By default a new one under the system's temporary directory.
	Dir string
	// Port to listen on, on 127.0.0.1; by default a free one.
	Port int
	// Durable makes commits survive Crash. Without it the server skips fsync
	// and synchronous commit, which is faster and loses the last moments.
	Durable bool
	// Settings are further server settings, such as "wal_level": "logical".
	Settings map[string]string
	// Log receives the server's log, line by line. It may be nil.
	Log func(line string)
}

// Server is a Postgres cluster on 127.0.0.1, private to this process.
type Server struct {
	opts     Options
	account  *account
	dir      string
	password string
	watchdog *watchdog

	mu   sync.Mutex
	port int
	proc *process
}

// StartPostgres creates a cluster and waits until it accepts connections.
// ctx bounds the start only. ErrNoPostgres says that no server programs were found.
// As root the server runs as the user postgres, else nobody, since Postgres refuses root.
func StartPostgres(ctx context.Context, opts Options) (*Server, error) {
	if opts.Bin == "" {
		bin, err := FindBin()
		if err != nil {
			return nil, err
		}
		opts.Bin = bin
	}
	account, err := serverAccount()
	if err != nil {
		return nil, err
	}
	dir, err := makeDir(opts.Dir, account)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, account: account, dir: dir, password: randomHex(), port: opts.Port}
	if s.watchdog, err = startWatchdog(dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Initialize(ctx, opts.Bin, "data"); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// URL returns the connection string of a database, as the superuser.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port())),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port returns the TCP port on 127.0.0.1; it stays the same over restarts.
func (s *Server) Port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// Dir returns the cluster's directory; the data are in its subdirectory "data".
func (s *Server) Dir() string { return s.dir }

// Bin returns the directory of the server programs in use.
func (s *Server) Bin() string { return s.opts.Bin }

// Done returns a channel closed when the running server process ends, for
// whatever reason. Each Restart brings a new one.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return s.proc.done
}

// Stop ends the server, closing its connections, and removes the directory.
func (s *Server) Stop() error {
	err := s.signal(syscall.SIGINT) // SIGINT is Postgres's "fast" shutdown.
	return errors.Join(err, s.watchdog.dismiss(), os.RemoveAll(s.dir))
}

// Crash ends the server at once, as `pg_ctl stop -m immediate` does: nothing is
// flushed, clients are cut off, and the next Restart goes through crash recovery.
// Unlogged tables come back empty, as they do after a real crash.
func (s *Server) Crash() error { return s.signal(syscall.SIGQUIT) }

// Restart starts the server on the same port and data, after a fast shutdown if
// it still runs, and waits until it accepts connections.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.signal(syscall.SIGINT); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fixed := s.port != 0
	for range portAttempts {
		if !fixed {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		proc, err := s.launch(ctx)
		if err == nil {
			s.proc = proc
			return nil
		}
		if !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return errPortTaken
}

// signal ends the running server with sig and waits for it; without one it does nothing.
func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	err := s.end(s.proc, sig)
	s.proc = nil
	return err
}

// makeDir creates the cluster's directory, owned by the account that will use it.
func makeDir(dir string, a *account) (string, error) {
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "roomcast-postgres-"); err != nil {
			return "", fmt.Errorf("cluster directory: %w", err)
		}
		return dir, a.own(dir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cluster directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cluster directory: %w", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return "", fmt.Errorf("cluster directory %s: not empty (%w)", dir, errors.Join(err, os.ErrExist))
	}
	return dir, a.own(dir)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// randomHex returns 128 random bits; crypto/rand.Read never fails.
func randomHex() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}
