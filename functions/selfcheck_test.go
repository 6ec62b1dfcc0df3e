package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"roomcast/shared/outbox/outboxtest"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/selfcheck"
)

func (f *function) selfcheck(t *testing.T, event bool) *selfcheck.Report {
	t.Helper()
	report, err := selfcheck.Ask(t.Context(), http.DefaultClient, f.address, webhookSecret, event, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A healthy function says what it reaches, and its test event goes all the way.
func TestSelfcheck(t *testing.T) {
	t.Parallel()
	push, url := newPusher(t), outboxtest.Chat(t)
	environ := environment(push, "DATABASE_URL="+url)
	f := start(t, environ)
	if _, err := selfcheck.Ask(t.Context(), http.DefaultClient, f.address, "a-secret-that-is-wrong", false, nil); !errors.Is(err, selfcheck.ErrSecret) {
		t.Fatalf("with a wrong secret: %v", err)
	}
	r := f.selfcheck(t, true)
	if r.Mode != "outbox" || r.Database == nil || !r.Database.Reachable || r.Database.Error != "" || r.Database.Schema != r.Database.SchemaExpected ||
		r.Database.SystemIdentifier == "" || r.Database.ReadOnly || len(r.Database.Missing) > 0 {
		t.Errorf("the database: %+v", r.Database)
	}
	if !r.Pusher.Reachable || r.Pusher.Status != http.StatusOK || r.Pusher.AppID != push.Config().AppID {
		t.Errorf("Pusher: %+v", r.Pusher)
	}
	if r.Event == nil || !r.Event.Accepted {
		t.Fatalf("the test event: %+v", r.Event)
	}
	if r.Relay.LastAccepted == nil || r.Relay.LastClaim == nil || r.Relay.PausedSince != nil {
		t.Errorf("the relay: %+v", r.Relay)
	}
	if r.Clock.SkewSeconds > 5 || r.Clock.SkewSeconds < -5 {
		t.Errorf("one machine's clocks differ by %v s", r.Clock.SkewSeconds)
	}
	if sent := push.Events(); len(sent) != 1 || sent[0].Channel != "private-room-roomcast-selfcheck" {
		t.Errorf("sent: %+v", sent)
	}
	if r.Prints["PUSHER_SECRET"] != selfcheck.Print(webhookSecret, "PUSHER_SECRET", push.Config().Secret) || r.Prints["IDLE_EXIT"] != "" {
		t.Errorf("prints: %v", r.Prints)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if strings.Contains(name, "SECRET") && strings.Contains(string(text), value) || strings.Contains(string(text), url) {
			t.Errorf("the report tells %s", name)
		}
	}
}

// What is wrong is said, each by itself.
func TestSelfcheckFindsFaults(t *testing.T) {
	t.Parallel()
	push, url := newPusher(t), outboxtest.Chat(t)
	t.Run("a wrong Pusher secret", func(t *testing.T) {
		r := start(t, environment(push, "DATABASE_URL="+url, "PUSHER_SECRET=wrong")).selfcheck(t, true)
		if r.Pusher.Reachable || r.Pusher.Status != http.StatusUnauthorized || !r.Database.Reachable {
			t.Errorf("Pusher: %+v", r.Pusher)
		}
		if r.Event.Accepted || !strings.Contains(r.Event.Error, "401") || r.Relay.PausedSince == nil || !strings.Contains(r.Relay.PusherAnswer, "401") {
			t.Errorf("event %+v, relay %+v", r.Event, r.Relay)
		}
	})
	t.Run("a database that is away", func(t *testing.T) {
		r := start(t, environment(push, "DATABASE_URL=postgres://u:hushhush@127.0.0.1:1/x")).selfcheck(t, true)
		if r.Database.Reachable || r.Database.Error == "" || strings.Contains(r.Database.Error, "hushhush") || r.Event.Accepted || !r.Pusher.Reachable {
			t.Errorf("database %+v, event %+v", r.Database, r.Event)
		}
	})
	t.Run("an older schema", func(t *testing.T) {
		old := outboxtest.Chat(t)
		if err := outboxtest.Exec(t.Context(), old, `drop function roomcast.describe()`); err != nil {
			t.Fatal(err)
		}
		r := start(t, environment(push, "DATABASE_URL="+old)).selfcheck(t, false)
		if !r.Database.Reachable || r.Database.Schema >= r.Database.SchemaExpected || len(r.Database.Missing) == 0 || !strings.Contains(r.Database.Error, "describe") {
			t.Errorf("database: %+v", r.Database)
		}
	})
	t.Run("forward-only", func(t *testing.T) {
		f := start(t, environment(push, "ROOM_CHANNELS=public"))
		if r := f.selfcheck(t, true); r.Mode != "forward-only" || r.Database != nil || r.Relay != nil || !r.Event.Accepted {
			t.Errorf("%+v, event %+v", r, r.Event)
		}
		push.Inject(pushertest.Fault{Status: 403})
		if r := f.selfcheck(t, true); r.Event.Accepted || !strings.Contains(r.Event.Error, "403") || r.Pusher.Reachable {
			t.Errorf("%+v, event %+v", r.Pusher, r.Event)
		}
	})
}
