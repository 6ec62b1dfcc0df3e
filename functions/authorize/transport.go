package authorize

import (
	"net/http"
	"sync"
	"time"
)

// maxPause is how long connections are kept for the next request. By the wall clock, which
// goes on while a machine sleeps or a Lambda is frozen: afterwards a connection may be
// dead without a word, and a request on it would wait for its timeout.
const maxPause = 15 * time.Second

// fresh is a RoundTripper that dials again after a pause.
type fresh struct {
	*http.Transport
	clock func() time.Time

	mu   sync.Mutex
	last time.Time
}

func newFresh() *fresh {
	return &fresh{Transport: http.DefaultTransport.(*http.Transport).Clone(), clock: time.Now}
}

// RoundTrip is [http.Transport.RoundTrip].
func (f *fresh) RoundTrip(r *http.Request) (*http.Response, error) {
	now := f.clock().Round(0)
	f.mu.Lock()
	pause := now.Sub(f.last)
	f.last = now
	f.mu.Unlock()
	if pause > maxPause || pause < 0 {
		f.CloseIdleConnections()
	}
	return f.Transport.RoundTrip(r)
}
