package listen_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"roomcast/shared/listen"
	"roomcast/shared/pusher"
	"roomcast/shared/pusher/pushertest"
)

// heard is what a listener tells.
type heard struct {
	subscribed chan struct{}
	events     chan string
	lost       chan error
}

func listenTo(t *testing.T, push *pushertest.Server, channel string, authorize func(context.Context, string) ([]byte, error)) heard {
	t.Helper()
	h := heard{make(chan struct{}, 10), make(chan string, 10), make(chan error, 10)}
	cfg := push.Config()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		listen.Config{
			URL: listen.Address(cfg.Key, "", cfg.Host, false, "test"), Channel: channel, Authorize: authorize,
			Subscribed: func() { h.subscribed <- struct{}{} },
			Event:      func(name string, data json.RawMessage) { h.events <- name + " " + string(data) },
			Lost:       func(err error) { h.lost <- err },
		}.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

func TestListen(t *testing.T) {
	push := pushertest.Start(t, pushertest.Options{})
	client, err := pusher.New(push.Config())
	if err != nil {
		t.Fatal(err)
	}
	publish := func(channel string) {
		t.Helper()
		if err := client.PublishBatch(t.Context(), []pusher.Event{{Channel: channel, Name: "new-message", Data: []byte(`{"id":1}`)}}); err != nil {
			t.Fatal(err)
		}
	}
	const private, public = "private-room-a", "room-a"
	members := listenTo(t, push, private, func(_ context.Context, id string) ([]byte, error) { return client.AuthorizePrivate(id, private) })
	anybody := listenTo(t, push, public, nil)
	<-members.subscribed
	<-anybody.subscribed
	publish(private)
	publish(public)
	for _, h := range []heard{members, anybody} {
		if e := <-h.events; e != `new-message {"id":1}` {
			t.Errorf("heard %s", e)
		}
	}
	push.Cut() // and it comes back by itself
	<-members.lost
	<-members.subscribed
	publish(private)
	<-members.events

	forged := listenTo(t, push, private, func(context.Context, string) ([]byte, error) { return []byte(`{"auth":"app:00"}`), nil })
	refused := listenTo(t, push, private, func(context.Context, string) ([]byte, error) { return nil, errors.New("no token") })
	var refusal *listen.Refusal
	if err := <-forged.lost; !errors.As(err, &refusal) {
		t.Errorf("a forged signature: %v", err)
	}
	if err := <-refused.lost; err == nil || !strings.Contains(err.Error(), "no token") {
		t.Errorf("no authorization: %v", err)
	}
	select {
	case e := <-forged.events:
		t.Errorf("heard with a forged signature: %s", e)
	default:
	}

	push.CloseSockets(4004, "over quota")
	if err := <-anybody.lost; err == nil || strings.Contains(err.Error(), push.Config().Key) {
		t.Errorf("over quota: %v", err)
	}
}

// A frame larger than any event ends the connection, before it is read whole.
func TestLargeFramesAreRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"event":"new-message","channel":"c","data":"`+strings.Repeat("x", 2<<20)+`"}`))
		_, _, _ = conn.Read(r.Context()) // until the other side leaves
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	lost := make(chan error, 1)
	listen.Config{
		URL: "ws" + strings.TrimPrefix(server.URL, "http"), Channel: "c", Subscribed: func() {},
		Event: func(name string, data json.RawMessage) { t.Errorf("heard %d bytes", len(data)); cancel() },
		Lost:  func(err error) { lost <- err; cancel() },
	}.Run(ctx)
	select {
	case err := <-lost:
		if err == nil {
			t.Error("lost without a reason")
		}
	default:
		t.Error("the connection is kept")
	}
}

func TestAddress(t *testing.T) {
	for want, got := range map[string]string{
		"wss://ws-eu.pusher.com/app/k?protocol=7&client=c&version=1": listen.Address("k", "eu", "", true, "c"),
		"ws://localhost:6001/app/k?protocol=7&client=c&version=1":    listen.Address("k", "eu", "localhost:6001", false, "c"),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
