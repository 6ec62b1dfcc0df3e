package outboxtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
)

// account is needed where Postgres refuses to run as we do; Windows' pg_ctl drops
// privileges by itself.
type account struct{}

func serverAccount() (*account, error) { return nil, nil }

func (*account) own(string) error { return nil }

func (*account) attributes() *syscall.SysProcAttr { return detached() }

// detached starts a child in a group that a Ctrl-C of ours does not reach.
func detached() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// tell asks a server to shut down. Windows has no signals: pg_ctl has a pipe of its own.
func (s *Server) tell(_ *process, sig syscall.Signal) error {
	mode := map[syscall.Signal]string{syscall.SIGINT: "fast", syscall.SIGQUIT: "immediate"}[sig]
	stop := exec.Command(filepath.Join(s.opts.Bin, "pg_ctl"), "stop", "--no-wait", "--mode="+mode, "--pgdata="+s.data())
	if out, err := stop.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_ctl stop: %w: %s", err, out)
	}
	return nil
}
