package main

import (
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"roomcast/shared/outbox/outboxtest"
)

// With CANARY the function hears itself while it is awake for a message, tells how long
// that took, lets no user into the canary's channel, and leaves when it is idle.
func TestCanaryOfARunningFunction(t *testing.T) {
	t.Parallel()
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database, "CANARY=true", "LINGER=10s", "IDLE_EXIT=12s"))
	f.message(t, database, "hello")
	f.wakeUp(t)
	f.until(t, "a canary is heard", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "roomcast_canaries_total", "result", "heard") == 1 && value(m, "roomcast_canary_heard_seconds") == 1
	})
	if r := f.selfcheck(t, false); r.Relay.Canary == nil || r.Relay.Canary.Result != "heard" {
		t.Errorf("%+v", r.Relay)
	}
	select {
	case <-f.ended:
	case <-time.After(60 * time.Second):
		t.Fatalf("it does not leave:\n%s", f.logged())
	}
	if f.exit != nil {
		t.Errorf("it left with %v", f.exit)
	}
	if err := push.WaitSubscribers(t.Context(), "private-roomcast-canary", 0); err != nil {
		t.Error(err)
	}
}
