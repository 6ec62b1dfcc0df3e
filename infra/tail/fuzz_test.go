package tail

import (
	"encoding/json"
	"testing"
)

// FuzzEvent: whatever a channel brings is read or passed over, and an event that counts has
// a number. Frames are shared/listen's.
func FuzzEvent(f *testing.F) {
	f.Add("new-message", []byte(`{"roomcast":{"seq":3,"epoch":"e","at":"2026-11-22T20:27:53.1+00:00"}}`))
	f.Add("packed", []byte(`[["new-message",{"roomcast":{"seq":1}}],[1,2],[]]`))
	f.Add("x", []byte(`"\"x\""`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		for _, e := range append(unpack(json.RawMessage(data)), Event{Name: name, Data: data}) {
			if e.read() && e.Meta.Seq < 1 {
				t.Fatalf("%q counts as %d", e.Data, e.Meta.Seq)
			}
		}
	})
}
