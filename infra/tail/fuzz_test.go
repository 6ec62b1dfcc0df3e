package tail

import (
	"encoding/json"
	"testing"
)

// FuzzFrame: whatever Pusher's socket brings is read or passed over, and an event that
// counts has a number.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"event":"new-message","channel":"private-room-r","data":"{\"roomcast\":{\"seq\":3,\"epoch\":\"e\",\"at\":\"2026-11-22T20:27:53.1+00:00\"}}"}`))
	f.Add([]byte(`{"event":"packed","channel":"private-packed-room-r","data":"[[\"new-message\",{\"roomcast\":{\"seq\":1}}],[1,2],[]]"}`))
	f.Add([]byte(`{"event":"pusher:error","data":{"code":4009,"message":null}}`))
	f.Add([]byte(`{"data":"\"\\\"x\\\"\""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got frame
		if json.Unmarshal(text, &got) != nil {
			return
		}
		for _, e := range append(unpack(got.inner()), Event{Name: got.Event, Data: got.inner()}) {
			if e.read() && e.Meta.Seq < 1 {
				t.Fatalf("%q counts as %d", e.Data, e.Meta.Seq)
			}
		}
	})
}
