package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"roomcast/infra/load/peers/least"
	"roomcast/shared/pusher"
)

func startSink(t *testing.T) *sink {
	t.Helper()
	s, err := openSink()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tricky holds, as data, what the sink counts by.
const tricky = `{"id":"1","content":"\"channel\":\"x\" probe-3 ","channel":"y","channels":["z"]}`

// The sink counts what each of the programs under measurement posts.
func TestSinkCountsEveryClient(t *testing.T) {
	s := startSink(t)
	ours, err := pusher.New(pusher.Config{AppID: appID, Key: appKey, Secret: appSecret, Host: s.addr})
	if err != nil {
		t.Fatal(err)
	}
	peer := least.NewPusher(s.addr, appID, appKey, appSecret, 1)
	event := pusher.Event{Channel: "private-room-1", Name: "new-message", Data: []byte(tricky)}
	peerEvent := least.Event{Channel: "private-room-1", Name: "new-message", Data: tricky}
	for _, tc := range []struct {
		name string
		post func() error
		want int64
	}{
		{"PublishBatch", func() error { return ours.PublishBatch(t.Context(), []pusher.Event{event, event, event}) }, 3},
		{"least Trigger", func() error { return peer.Trigger(t.Context(), peerEvent) }, 1},
		{"least Batch", func() error { return peer.Batch(t.Context(), []least.Event{peerEvent, peerEvent}) }, 2},
	} {
		from := s.events.Load()
		if err := tc.post(); err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if got := s.events.Load() - from; got != tc.want {
			t.Errorf("%s: counted %d events, want %d", tc.name, got, tc.want)
		}
	}
}

func TestSinkSaysWhenTheLastEventCame(t *testing.T) {
	s := startSink(t)
	peer := least.NewPusher(s.addr, appID, appKey, appSecret, 1)
	all := s.expect(3)
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all(short); !errors.Is(err, errShort) {
		t.Errorf("nothing came, and the error is %v", err)
	}
	begin := time.Now()
	for range 2 { // the second call passes the goal
		if err := peer.Batch(t.Context(), make([]least.Event, 2)); err != nil {
			t.Fatal(err)
		}
	}
	at, err := all(t.Context())
	if err != nil || at.Before(begin) || at.After(time.Now()) {
		t.Errorf("came at %v (from %v), err %v", at, begin, err)
	}
}

func TestSinkDelaysAndForgets(t *testing.T) {
	s := startSink(t)
	peer := least.NewPusher(s.addr, appID, appKey, appSecret, 1)
	s.delay.Store(int64(20 * time.Millisecond))
	begin := time.Now()
	if err := peer.Trigger(t.Context(), least.Event{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 20*time.Millisecond {
		t.Errorf("answered after %v, want 20 ms", took)
	}
	s.reset()
	if s.delay.Load() != 0 || s.goal.Load() != nil || s.note.Load() != nil {
		t.Error("the next scenario would meet what this one set")
	}
}

func TestStopwatchMatchesByNumber(t *testing.T) {
	w := newStopwatch(3)
	zero := time.Now()
	w.note([]byte(`{"batch":[{"data":"{\"content\":\"probe-2\"}"},{"data":"probe-0"},{"data":"probe-99, probe-x"}]}`), zero.Add(5*time.Millisecond))
	w.note([]byte("probe-2"), zero.Add(time.Hour)) // a repeat
	w.note([]byte("probe-1"), zero)
	w.committed = []time.Time{zero, zero.Add(time.Millisecond), zero.Add(2 * time.Millisecond)}
	got := w.times()
	// Message 1 was accepted before the writer knew of its commit.
	if want := []time.Duration{5 * time.Millisecond, 0, 3 * time.Millisecond}; got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("times %v, want %v", got, want)
	}
}

func TestEventsInCountsKeysOnly(t *testing.T) {
	body := `{"batch":[{"channel":"a","name":"n","data":"` + strings.ReplaceAll(tricky, `"`, `\"`) + `"}]}`
	if got := eventsIn([]byte(body)); got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
}
