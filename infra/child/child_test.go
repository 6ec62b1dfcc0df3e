package child

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs a shell script and waits until it says something.
func start(t *testing.T, script string) *Process {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(cmd, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStop(t *testing.T) {
	polite := start(t, `trap 'exit 0' INT; echo ready; while :; do sleep 0.01; done`)
	if err := polite.Stop(time.Minute); err != nil || polite.Err() != nil {
		t.Errorf("a program that ends when asked: %v, %v", err, polite.Err())
	}
	deaf := start(t, `trap '' INT; echo ready; while :; do sleep 0.01; done`)
	if err := deaf.Stop(10 * time.Millisecond); err == nil || !strings.Contains(deaf.Err().Error(), "killed") {
		t.Errorf("a program that does not: %v, %v", err, deaf.Err())
	}
	if err := deaf.Stop(time.Minute); err != nil {
		t.Errorf("one that has ended already: %v", err)
	}
}

func TestStartOfNothing(t *testing.T) {
	p, err := Start(exec.Command("/no/such/program"), syscall.SIGTERM)
	if err == nil {
		t.Fatal("no error")
	}
	<-p.Done()
}
