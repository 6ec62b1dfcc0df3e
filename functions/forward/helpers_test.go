package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
	"roomcast/shared/web"
)

const hookSecret = "s3cret-of-the-webhook"

// forwarder is the webhook's route in forward-only mode, against the emulator.
type forwarder struct {
	*testing.T
	pusher  *pushertest.Server
	forward *Handler
	route   http.Handler
	logged  *bytes.Buffer
}

func newForwarder(t *testing.T) *forwarder {
	t.Helper()
	server := pushertest.Start(t, pushertest.Options{})
	client, err := pusher.New(server.Config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	f := &forwarder{T: t, pusher: server, logged: &bytes.Buffer{}}
	log := slog.New(slog.NewJSONHandler(f.logged, nil))
	f.forward = &Handler{
		Pusher:   client,
		Channels: event.NewChannels([]event.ChannelKind{event.Private}, nil),
		Messages: []string{"messages", "wh_types"}, Members: []string{"room_members", "public.room_participants"},
		RoomColumn: "room_id", UserColumn: "user_id", Limit: 3 * time.Second, Observer: unobserved{}, Log: log,
	}
	secrets := web.NewSecrets([]string{"an-older-secret", hookSecret}, web.Addresses{}, time.Now)
	f.route = web.Handle(log, "POST /webhooks/supabase", f.forward.ServeHTTP, web.Credential(secrets.Credential, nil))
	return f
}

func (f *forwarder) post(body, secret, contentType string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/webhooks/supabase", strings.NewReader(body))
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	f.route.ServeHTTP(w, r)
	return w
}

// captured reads the body of a webhook recorded from the real pg_net.
func captured(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../testdata/captures", name))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Body string `json:"body_text"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c.Body
}

// rawField cuts a field's bytes out of a JSON object.
func rawField(t *testing.T, body, name string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatal(err)
	}
	return string(fields[name])
}

func hook(op, record, old string) string {
	return fmt.Sprintf(`{"type":%q,"table":"messages","schema":"public","record":%s,"old_record":%s}`, op, record, old)
}

// terminator is a Pusher whose disconnects are made up.
type terminator struct {
	Pusher
	terminate func(user string) error
}

func (c terminator) TerminateUser(_ context.Context, user string) error { return c.terminate(user) }

// unobserved is an Observer that notes nothing.
type unobserved struct{}

func (unobserved) Published(int, time.Duration, pusher.Class) {}

func (unobserved) Forwarded(string) {}
