package history

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzQuery: whatever comes as room and query is refused, or asks the store for
// something in bounds that the same request would ask for again.
func FuzzQuery(f *testing.F) {
	f.Add("3f0c9d58-7a56-4a53-9a3b-0f4f5b1d2c11", "after=3&epoch=k3f9&limit=500")
	f.Add("é/x", "after=&epoch=&limit=")
	f.Add("r", "after=9223372036854775807&limit=501")
	f.Add("r", "after=1&after=2")
	f.Add("r", "after=%31&%61fter=2;limit=1")
	f.Add("r", "epoch=K3F9&limit=-1&after=+1")
	f.Add("\x00", "after=0x10&limit=1e2&epoch=%00")
	f.Add(strings.Repeat("a", 200), "")
	f.Fuzz(func(t *testing.T, room, query string) {
		q, err := parse(room, query)
		if err != nil {
			return
		}
		if q.Room != room || room == "" || q.After < 0 || q.Max < 0 || q.Max > maxLimit || len(q.Epoch) > 64 {
			t.Fatalf("%q %q became %+v", room, query, q)
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("%q is no query, and became %+v", query, q)
		}
		if again, err := parse(room, values.Encode()); err != nil || again != q {
			t.Errorf("%q became %+v, and written again %+v (%v)", query, q, again, err)
		}
	})
}
