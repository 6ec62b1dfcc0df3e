package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// ErrNoPgBouncer says that PgBouncer is not installed.
var ErrNoPgBouncer = errors.New("no PgBouncer found (apt-get install pgbouncer)")

// PoolerVariable in the environment, not empty, has [Pooled] go through PgBouncer.
const PoolerVariable = "TEST_PGBOUNCER"

// FindPgBouncer returns the path of PgBouncer, empty where there is none. Debian puts it
// where only root looks.
func FindPgBouncer() string {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Pooled returns the URL by which the function under test reaches a database of
// [Database] or [Chat]: through PgBouncer in transaction mode, as through Supavisor, if
// TEST_PGBOUNCER is set, else the same URL. A test's own sessions go past it.
func Pooled(tb testing.TB, databaseURL string) string {
	tb.Helper()
	if os.Getenv(PoolerVariable) == "" {
		return databaseURL
	}
	c := need(tb)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pooler == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		var err error
		if c.pooler, err = StartPooler(ctx, c.server); err != nil {
			demand(tb, err)
		}
	}
	pooled, err := c.pooler.URL(databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	return pooled
}

// Pooler is a PgBouncer before a [Server], in transaction mode: each transaction may run
// in another session of the server's.
type Pooler struct {
	server *Server
	port   int
	proc   *process
}

// StartPooler starts a PgBouncer and waits until it listens. It ends with Stop, or with
// the server. It lets in every user that the server knows, by the server's own password.
func StartPooler(ctx context.Context, server *Server) (*Pooler, error) {
	program := FindPgBouncer()
	if program == "" {
		return nil, ErrNoPgBouncer
	}
	p := &Pooler{server: server}
	for range portAttempts {
		var err error
		if p.port, err = freePort(); err != nil {
			return nil, err
		}
		if p.proc, err = p.launch(ctx, program); !errors.Is(err, errPortTaken) {
			return p, err
		}
	}
	return nil, errPortTaken
}

// URL returns a database URL of the server's with the pooler in the server's place.
func (p *Pooler) URL(databaseURL string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", errors.New("database URL cannot be parsed") // the error would repeat the password
	}
	u.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port))
	return u.String(), nil
}

// Stop ends the pooler and its connections.
func (p *Pooler) Stop() error {
	err := p.proc.cmd.Process.Signal(syscall.SIGTERM)
	<-p.proc.done
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// launch writes the configuration into the server's directory, which the watchdog
// removes, and starts the program.
func (p *Pooler) launch(ctx context.Context, program string) (*process, error) {
	for name, text := range map[string]string{
		"pgbouncer.ini": p.config(),
		"users.txt":     fmt.Sprintf("%q %q\n", superuser, p.server.password),
	} {
		file := filepath.Join(p.server.dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("pgbouncer: %w", err)
		}
		if err := p.server.account.own(file); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(program, filepath.Join(p.server.dir, "pgbouncer.ini"))
	cmd.Dir, cmd.SysProcAttr = p.server.dir, p.server.account.attributes()
	proc, err := run(ctx, cmd, "process up", nil)
	if err != nil && proc != nil { // it still runs
		_ = proc.cmd.Process.Kill()
		<-proc.done
	}
	return proc, err
}

// config: the server's verifiers are asked of the server, so a role that a test makes
// gets in at once. The least number of connections shows soonest what needs a session.
func (p *Pooler) config() string {
	return fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
pidfile = %s
auth_type = scram-sha-256
auth_file = %s
auth_user = %s
auth_query = select usename, passwd from pg_catalog.pg_shadow where usename = $1
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
`, p.server.Port(), p.port, filepath.Join(p.server.dir, poolerPID), filepath.Join(p.server.dir, "users.txt"), superuser)
}
