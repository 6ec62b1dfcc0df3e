package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The function itself, as it is shipped, is as healthy to the doctor as the one that
// the other tests make up.
func TestDoctorOfTheRealFunction(t *testing.T) {
	p := newInstallation(t)
	address := p.runFunction()
	p.configure(address + webhookPath)
	for _, f := range p.examine() {
		if f.Verdict != good {
			t.Errorf("of the real function the doctor says: %s", f.text())
		}
	}
}

// runFunction builds and runs the function until the test ends, and returns its
// address.
func (p *installation) runFunction() string {
	p.Helper()
	binary := filepath.Join(p.TempDir(), "roomcast")
	if out, err := exec.CommandContext(p.Context(), "go", "build", "-tags", "lambda.norpc", "-o", binary, "roomcast/functions").CombinedOutput(); err != nil {
		p.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(p.environment(), "LISTEN_HOST=127.0.0.1", "PORT=0", "METRICS_PORT=0")
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
			return "http://" + line.Addr.String()
		}
	}
	close(read)
	p.Fatalf("the function does not listen:\n%s", before.String())
	return ""
}
