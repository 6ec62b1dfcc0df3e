package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"roomcast/shared/event"
	"roomcast/shared/pusher"
)

// A row comes once, alone or in a pack; a repeat, a gap and rubbish are not taken
// for it, and a pack is one of Pusher's messages.
func TestRecorder(t *testing.T) {
	type e struct{ Name, Data string }
	row := func(seq string) e { return e{event.NewMessage, `{"content":"\"[","roomcast":{"seq":` + seq + `}}`} }
	pack := func(rows ...e) e {
		var data []byte
		for _, r := range rows {
			data = event.AppendPack(data, r.Name, []byte(r.Data))
		}
		return e{event.Pack, string(data)}
	}
	for _, tc := range []struct {
		name  string
		calls [][]e
		fault error
		cost  float64
	}{
		{"alone and packed", [][]e{{row("1")}, {pack(row("2"), row("3"), row("4")), row("5")}}, nil, 600},
		{"all packed", [][]e{{pack(row("1"), row("2"), row("3"), row("4"), row("5"))}}, nil, 200},
		{"a repeat", [][]e{{row("1")}, {row("1")}}, errRecorder, 0},
		{"a repeat in a pack", [][]e{{pack(row("1"), row("1"))}}, errRecorder, 0},
		{"a gap", [][]e{{pack(row("1"), row("3"))}}, errRecorder, 0},
		{"no pack", [][]e{{{event.Pack, `{}`}}}, errRecorder, 0},
		{"rows are missing", [][]e{{row("1")}}, errShort, 0},
	} {
		r := newRecorder(5)
		for _, events := range tc.calls {
			body, err := json.Marshal(map[string]any{"batch": events})
			if err != nil {
				t.Fatal(err)
			}
			r.note(body, time.Time{})
		}
		ctx, cancel := context.WithCancel(t.Context())
		if tc.fault == errShort {
			cancel()
		}
		if err := r.all(ctx); !errors.Is(err, tc.fault) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.fault)
		}
		if got := r.perThousand(); tc.fault == nil && got != tc.cost {
			t.Errorf("%s: %v messages for a thousand, want %v", tc.name, got, tc.cost)
		}
		cancel()
	}
}

// The recorder reads what the client writes.
func TestRecorderReadsTheClientsCalls(t *testing.T) {
	s := startSink(t)
	r := newRecorder(2)
	defer s.listen(r.note)()
	client, err := pusher.New(pusher.Config{AppID: appID, Key: appKey, Secret: appSecret, Host: s.addr})
	if err != nil {
		t.Fatal(err)
	}
	pack := event.AppendPack(nil, event.NewMessage, []byte(`{"roomcast":{"seq":1}}`))
	pack = event.AppendPack(pack, event.NewMessage, []byte(`{"roomcast":{"seq":2}}`))
	if err := client.PublishBatch(t.Context(), []pusher.Event{{Channel: "private-packed-room-1", Name: event.Pack, Data: pack}}); err != nil {
		t.Fatal(err)
	}
	if err := r.all(t.Context()); err != nil {
		t.Error(err)
	}
}
