package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"roomcast/infra/child"
)

// The function itself, as it is shipped, is as healthy to the doctor as the one that
// the other tests make up.
func TestDoctorOfTheRealFunction(t *testing.T) {
	p := newInstallation(t)
	p.configure(p.runFunction(p.environment()...) + webhookPath)
	p.event = true
	for _, f := range p.examine() {
		if f.Verdict != good {
			t.Errorf("of the real function the doctor says: %s", f.text())
		}
	}
	if n := len(p.pusher.Events()); n != 1 {
		t.Errorf("Pusher took %d events, want the test event", n)
	}
}

// Each setting of the function that is wrong, one at a time, is refused at its start or
// found by the doctor, by name.
func TestEachWrongSetting(t *testing.T) {
	const longer = "another-value-of-32-characters-or-more"
	for name, wrong := range map[string]string{
		"DATABASE_URL": "postgres://ops_relay:wrong@127.0.0.1:1/postgres", "DATABASE_CA": "no certificate",
		"WEBHOOK_SECRET": longer, "PARITY_SECRET": longer,
		"PUSHER_APP_ID": "999", "PUSHER_KEY": "another", "PUSHER_SECRET": "another", "PUSHER_HOST": "127.0.0.1:1", "PUSHER_TLS": "true",
		"PUSHER_ENCRYPTION_KEY": "c2hvcnQ=", "SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_JWT_SECRET": longer, "SUPABASE_KEY": longer,
		"ROOM_CHANNELS": "presence", "PACKED_ROOMS": "x", "ALLOWED_ORIGINS": "https://elsewhere.example", "CLIENT_MODE": "dance",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newInstallation(t)
			binary := p.buildFunction()
			address, log := p.start(binary, append(p.environment(), name+"="+wrong)...)
			if address == "" {
				if !strings.Contains(log, name) {
					t.Errorf("refused at its start, without a word of %s:\n%s", name, log)
				}
				return
			}
			p.configure(address + webhookPath)
			all := p.examine()
			for _, f := range all {
				if f.Verdict != good && f.Verdict != skipped && strings.Contains(f.Found+f.Remedy, name) {
					return
				}
			}
			t.Errorf("the doctor does not name %s:", name)
			for _, f := range all {
				t.Log(f.text())
			}
		})
	}
}

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "roomcast-ops-test-")
	if err != nil {
		return "", err
	}
	built.Store(&dir)
	binary := filepath.Join(dir, "roomcast")
	return binary, child.BuildFunction(context.Background(), binary)
})

// built is the folder that buildOnce made, if it did.
var built atomic.Pointer[string]

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := built.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	os.Exit(code)
}

// buildFunction builds the function, once for all tests.
func (p *installation) buildFunction() string {
	p.Helper()
	binary, err := buildOnce()
	if err != nil {
		p.Fatal(err)
	}
	return binary
}

// runFunction runs the function until the test ends, and returns its address.
func (p *installation) runFunction(environ ...string) string {
	p.Helper()
	address, log := p.start(p.buildFunction(), environ...)
	if address == "" {
		p.Fatalf("the function does not listen:\n%s", log)
	}
	return address
}

// start runs the function; without an address it has ended, and said why.
func (p *installation) start(binary string, environ ...string) (address, said string) {
	p.Helper()
	cmd := exec.Command(binary)
	cmd.Env = append(environ, "LISTEN_HOST=127.0.0.1", "PORT=0", "METRICS_PORT=0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	read := make(chan struct{}) // Wait closes the pipe: it must have been read
	p.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		_ = cmd.Wait()
	})
	log := bufio.NewScanner(stderr)
	var before strings.Builder
	for log.Scan() {
		before.WriteString(log.Text() + "\n")
		var line struct {
			Msg  string
			Addr net.TCPAddr
		}
		if json.Unmarshal(log.Bytes(), &line) == nil && line.Msg == "listening" {
			go func() {
				defer close(read)
				_, _ = io.Copy(io.Discard, stderr)
			}()
			return "http://" + line.Addr.String(), before.String()
		}
	}
	close(read)
	return "", before.String()
}
