package history_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

// FuzzMany: whatever is posted is refused, or asks for rooms with channels, within bounds.
func FuzzMany(f *testing.F) {
	f.Add(`{"rooms":{"r":{"after":3,"epoch":"k3f9","limit":50},"@x":{}}}`)
	f.Add(`{"rooms":{"":{}}}`)
	f.Add(`{"Rooms":{"r":{"after":1e3,"limit":-1}},"rooms":null}`)
	f.Add(`{"rooms":{"\u0000":{"epoch":"K"},"\ud800":{"after":9223372036854775807}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		d := &desk{}
		w := d.post(t, body)
		if w.Code >= 500 {
			t.Fatalf("%q is answered %d: %s", body, w.Code, w.Body)
		}
		if w.Code == http.StatusOK && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q is answered %s", body, w.Body)
		}
		for _, q := range d.asked {
			if q.Room == "" || q.After < 0 || q.Max < 0 || q.Max > 500 || q.UserID != user {
				t.Fatalf("%q asks for %+v", body, q)
			}
		}
	})
}
