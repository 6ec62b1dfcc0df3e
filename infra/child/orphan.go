package child

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// errOrphaned is the cause of the end of UntilOrphaned's context.
var errOrphaned = errors.New("the `go run` that started us has ended")

// orphanPoll is how often we look at who our parent is; nothing tells us of its end.
const orphanPoll = 200 * time.Millisecond

// UntilOrphaned returns a context that ends when the `go run` that started this program
// does: killed, it takes nobody with it, and what it started would run on. A program
// that something else started may outlive it, as a daemon does.
func UntilOrphaned(ctx context.Context) context.Context {
	parent := os.Getppid()
	if !isGo(parent) {
		return ctx
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(orphanPoll)
		defer tick.Stop()
		for os.Getppid() == parent {
			select {
			case <-tick.C:
			case <-ctx.Done():
				cancel(nil)
				return
			}
		}
		cancel(errOrphaned)
	}()
	return ctx
}

// isGo reports whether a process is the go command.
func isGo(pid int) bool {
	var name string
	switch runtime.GOOS {
	case "linux":
		name, _ = os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe") // "" if it has ended or is another's
	case "windows": // which has no parents once they end
		return false
	default:
		out, _ := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output() // likewise
		name = strings.TrimSpace(string(out))
	}
	return filepath.Base(name) == "go"
}
