package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"roomcast/infra/child"
)

// brokenUnderLoad kills and freezes the function while somebody writes all the time.
// The page, by Pusher alone, ends with every message once and in order.
func brokenUnderLoad(t *testing.T, env map[string]string) {
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("NOT TESTED: the function's process is found by /proc")
	}
	ctx := browser(t)
	mira := paneOf(memberID)
	must(t, ctx, chromedp.Navigate(env["DEMO_URL"]), visible(mira+` .send`))
	poll(t, ctx, `(document.querySelector('input[value=pusher]').click(), document.body.dataset.mode === 'pusher')`)
	write := writer(t, env)
	first := write(otherMemberID, "The first of many.")
	must(t, ctx, visible(message(mira, first)))

	ids := []string{first}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := range 250 {
		<-tick.C
		ids = append(ids, write(otherMemberID, fmt.Sprint("Wave ", i)))
		switch i {
		case 50, 200:
			signalFunction(t, env, syscall.SIGKILL)
		case 100:
			signalFunction(t, env, child.Freeze)
		case 150:
			signalFunction(t, env, child.Thaw)
		}
	}
	// A dead relay's rooms wait for their lease, 4 s.
	poll(t, ctx, fmt.Sprintf(`document.querySelector(%q) !== null`, message(mira, ids[len(ids)-1])))
	if shown := lastShown(t, ctx, mira, len(ids)); !slices.Equal(shown, ids) {
		t.Errorf("%d messages were written, the page ends with %d others or in another order", len(ids), len(shown))
	}
	if again := repeated(t, ctx, mira); len(again) > 0 {
		t.Errorf("shown more than once: %v", again)
	}
}

// signalFunction sends a signal to the stack's own function, once there is one: it is
// started again after it was killed.
func signalFunction(t *testing.T, env map[string]string, sig syscall.Signal) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if pid := functionPID(env); pid != 0 && kill(pid, sig) == nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // there is no event for another's child
	}
	t.Fatalf("no function to send %v to", sig)
}

// functionPID looks among our children for one that has this stack's environment.
func functionPID(env map[string]string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(text, []byte("PUSHER_HOST="+env["PUSHER_HOST"]+"\x00")) || !bytes.Contains(text, []byte("METRICS_PORT=")) {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(file), "status"))
		if err != nil || !strings.Contains(string(status), fmt.Sprintf("PPid:\t%d\n", os.Getpid())) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			return pid
		}
	}
	return 0
}
