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

// newFresh keeps as many connections as a Coalescer has calls at once: the function is built
// without HTTP/2, which would put them on one.
func newFresh() *fresh {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = defaultSlots
	return &fresh{Transport: transport, clock: time.Now}
}

// RoundTrip is [http.Transport.RoundTrip].
func (f *fresh) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	now := f.clock().Round(0) // under the lock: two calls at once are no clock that goes back
	pause := now.Sub(f.last)
	f.last = now
	f.mu.Unlock()
	if pause > maxPause || pause < 0 {
		f.CloseIdleConnections()
	}
	return f.Transport.RoundTrip(r)
}
