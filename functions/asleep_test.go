package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"roomcast/shared/outbox/outboxtest"
)

// disturb sends what strangers can send, again and again, until stop is closed: every
// route without its credential and with a wrong one, unknown routes, refused preflights,
// pages' scripts, heads and bodies that do not end.
func (f *function) disturb(t *testing.T, stop <-chan struct{}) {
	routes := everyRoute(t)
	client := &http.Client{Timeout: time.Second}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-f.ended:
			return
		case <-time.After(5 * time.Millisecond):
		}
		rt := routes[i%len(routes)]
		r, err := http.NewRequest(rt.method, f.address+rt.path, strings.NewReader(`{"type":"WAKE"}`))
		if err != nil {
			t.Error(err)
			return
		}
		switch i / len(routes) % 4 {
		case 1:
			r.Header.Set("Authorization", "Bearer "+badToken)
		case 2:
			r.Header.Set("Authorization", "Bearer "+guessed)
		case 3:
			r.Method = "OPTIONS"
			r.Header.Set("Origin", "https://elsewhere.example")
			r.Header.Set("Access-Control-Request-Method", "POST")
		}
		if answer, err := client.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
	}
}

// Whatever strangers do, the machine leaves when it has had no work for IDLE_EXIT, and in
// order: another status than 0 would make Fly start it again.
func TestStrangersDoNotKeepItAwake(t *testing.T) {
	t.Parallel()
	f := start(t, environment(newPusher(t), "DATABASE_URL="+outboxtest.Chat(t), "IDLE_EXIT=1500ms", "LINGER=100ms"))
	stop := make(chan struct{})
	defer close(stop)
	for range 4 {
		go f.disturb(t, stop)
	}
	for _, sent := range []string{"", "GET /healthz HTTP/1.1\r\nX-", "POST /pusher/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx"} {
		fmt.Fprint(f.dial(t), sent)
	}
	select {
	case <-f.ended:
		if f.exit != nil {
			t.Errorf("ended with %v:\n%s", f.exit, f.logged())
		}
	case <-time.After(20 * time.Second):
		t.Error("strangers keep it awake")
	}
}

// Only who has shown a credential wakes the relay where a wake-up webhook was lost.
func TestStrangersDoNotWakeTheRelay(t *testing.T) {
	t.Parallel()
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database, "LINGER=100ms"))
	f.message(t, database, "hello")
	f.wakeUp(t)
	f.until(t, "it sleeps again", func(m map[string]*dto.MetricFamily) bool {
		return len(push.Events()) == 1 && value(m, "roomcast_awake") == 0
	})
	f.message(t, database, "the webhook of this one is lost")
	before := value(f.scrape(t), "roomcast_relay_wakes_total")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f.disturb(t, stop)
	}()
	time.Sleep(time.Second) // silence has no event to wait for
	close(stop)
	<-done
	if after := value(f.scrape(t), "roomcast_relay_wakes_total"); after != before {
		t.Errorf("strangers woke the relay %v times", after-before)
	}
	f.post(t, "/pusher/user-auth", "application/x-www-form-urlencoded", url.Values{"socket_id": {"1.1"}}.Encode(), memberToken(t))
	f.until(t, "a user woke the relay", func(m map[string]*dto.MetricFamily) bool {
		return value(m, "roomcast_relay_wakes_total") > before && len(push.Events()) == 2
	})
}
