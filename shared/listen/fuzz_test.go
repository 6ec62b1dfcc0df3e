package listen

import (
	"encoding/json"
	"testing"
)

// FuzzFrame: whatever a socket brings is handed on, ends the connection, or is passed over.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"event":"new-message","channel":"c","data":"{\"roomcast\":{\"seq\":3}}"}`))
	f.Add([]byte(`{"event":"new-message","channel":"another","data":"{}"}`))
	f.Add([]byte(`{"event":"pusher:error","data":{"code":4009,"message":null}}`))
	f.Add([]byte(`{"event":"pusher_internal:subscription_succeeded","channel":"c"}`))
	f.Add([]byte(`{"channel":"c","data":"\"\\\"x\\\"\""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got frame
		if json.Unmarshal(text, &got) != nil || got.Event == "pusher:ping" || got.Event == "pusher:connection_established" {
			return // answered over a connection
		}
		events := 0
		c := Config{Channel: "c", Subscribed: func() {}, Event: func(string, json.RawMessage) { events++ }}
		if err := c.handle(t.Context(), nil, got); events > 0 && (err != nil || got.Channel != "c") {
			t.Fatalf("%q: %d events, %v", text, events, err)
		}
	})
}
