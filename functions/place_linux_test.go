package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
)

func TestAPlaceHasOneProcess(t *testing.T) {
	const port = 1 // no function listens there
	first := takePlace("machine", port)
	defer first.leave()
	if first.name == "" || !strings.HasSuffix(first.relayName(), "@"+first.name) {
		t.Fatalf("place %q of %s", first.name, first.relayName())
	}
	if second := takePlace("machine", port); second.name != "" || strings.Contains(second.relayName(), "@") {
		t.Errorf("a second process has the place %q", second.name)
	}
	for what, other := range map[string]place{"another port": takePlace("machine", port+1), "another machine": takePlace("", port)} {
		defer other.leave()
		if other.name == "" || other.name == first.name {
			t.Errorf("%s: place %q beside %q", what, other.name, first.name)
		}
	}
	first.leave()
	again := takePlace("machine", port)
	defer again.leave()
	if again.name != first.name {
		t.Errorf("its successor has the place %q, not %q", again.name, first.name)
	}
	if nowhere := takePlace("machine", 0); nowhere.name != "" {
		t.Errorf("a port of the system's choice has a place")
	}
}

// A relay that was killed and started again does not wait until its own leases end; those
// of a relay beside it, frozen or not, stay as they are.
func TestAKilledRelaysLeasesAreItsSuccessors(t *testing.T) {
	push, database := newPusher(t), outboxtest.Chat(t)
	conn := outboxtest.Connect(t, database)
	environ := environment(push, "DATABASE_URL="+database, "CLAIM_LEASE=1h")
	on := func(listener net.Listener) []string {
		_ = listener.Close()
		return slices.Concat(environ, []string{fmt.Sprint("PORT=", listener.Addr().(*net.TCPAddr).Port)})
	}
	here, there := on(listenHere(t)), on(listenHere(t))

	dead := start(t, here)
	t.Cleanup(func() {
		select {
		case <-dead.ended:
		default:
			_ = syscall.Kill(dead.pid, syscall.SIGKILL) // frozen, it takes no other signal
		}
	})
	hanging := push.Inject(pushertest.Fault{Hang: true})
	dead.message(t, database, "claimed by one that is killed")
	dead.wakeUp(t)
	for hanging.Hits() == 0 && t.Context().Err() == nil {
		time.Sleep(time.Millisecond)
	}
	push.Clear()
	holder := func() (name string) {
		if err := conn.QueryRow(t.Context(), `select coalesce(max(holder), '') from roomcast.rooms`).Scan(&name); err != nil {
			t.Fatal(err)
		}
		return name
	}
	held := holder()
	if err := syscall.Kill(dead.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	beside := start(t, there)
	beside.wakeUp(t)
	beside.until(t, "it polls", func(m map[string]*dto.MetricFamily) bool { return value(m, "roomcast_awake") == 1 })
	if now := holder(); now != held || !strings.Contains(held, fmt.Sprintf(":%d@", dead.pid)) {
		t.Errorf("held by %q, then by %q", held, now)
	}
	if err := syscall.Kill(dead.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-dead.ended
	start(t, here) // nobody wakes it: it looks by itself
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := push.Wait(within, func(all []pushertest.Accepted) bool { return len(all) > 0 }); err != nil {
		t.Errorf("the message waits for the dead relay's lease: %v", err)
	}
}

func listenHere(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
