package pushertest

import (
	"context"
	"net/http"
	"testing"
	"time"

	gopusher "github.com/pusher/pusher-http-go/v5"

	"roomcast/shared/pusher"
)

// start runs an emulator for one test.
func start(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func client(t testing.TB, s *Server) *pusher.Client {
	t.Helper()
	c, err := pusher.New(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trigger sends one event by POST /events with pusher-http-go: our own client only sends
// batches. Unless it is empty, except is the one socket that shall not hear it.
func trigger(s *Server, e pusher.Event, except string) error {
	lib := gopusher.Client{AppID: s.opts.AppID, Key: s.opts.Key, Secret: s.opts.Secret, Host: s.Addr(),
		HTTPClient: &http.Client{Timeout: 15 * time.Second}}
	var params gopusher.TriggerParams
	if except != "" {
		params.SocketID = &except
	}
	_, err := lib.TriggerWithParams(e.Channel, e.Name, e.Data, params)
	return err
}

// within bounds every wait of a test.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPublishIsRecordedInOrder(t *testing.T) {
	s := start(t, Options{})
	c := client(t, s)
	ctx := within(t)
	if err := c.PublishBatch(ctx, []pusher.Event{
		{Channel: "private-a", Name: "one", Data: []byte(`{"n":"<&>"}`)},
		{Channel: "private-b", Name: "two", Data: []byte("\u2028 😀")},
	}); err != nil {
		t.Fatal(err)
	}
	if err := trigger(s, pusher.Event{Channel: "private-a", Name: "three", Data: []byte("x")}, "1.2"); err != nil {
		t.Fatal(err)
	}
	got := s.Events()
	if len(got) != 3 {
		t.Fatalf("recorded %d events, want 3", len(got))
	}
	for i, want := range []Accepted{
		{Channel: "private-a", Name: "one", Data: `{"n":"<&>"}`, Request: 1, Batch: 0},
		{Channel: "private-b", Name: "two", Data: "\u2028 😀", Request: 1, Batch: 1},
		{Channel: "private-a", Name: "three", Data: "x", SocketID: "1.2", Request: 2, Batch: 0},
	} {
		want.At = got[i].At
		if got[i] != want {
			t.Errorf("event %d: got %+v, want %+v", i, got[i], want)
		}
	}
}
