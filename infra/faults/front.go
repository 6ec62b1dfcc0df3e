package main

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"roomcast/infra/child"
)

// front receives the wake-ups, in the place of Fly's proxy: it passes a request on to one
// of the healthy relays, in turn.
type front struct {
	relays   []*relay
	turn     atomic.Uint32
	received atomic.Int64                 // wake-ups, lost or not
	deaf     atomic.Bool                  // wake-ups are lost
	lost     atomic.Int64                 // how many were
	requests atomic.Int64                 // of pages
	tab      atomic.Pointer[http.Handler] // the pages themselves
}

// ServeHTTP passes a wake-up on. pg_net never repeats one, so a 503 loses it.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/page-") {
		f.page(w, r)
		return
	}
	if tab := f.tab.Load(); tab != nil && strings.HasPrefix(r.URL.Path, "/tab/") {
		(*tab).ServeHTTP(w, r)
		return
	}
	f.received.Add(1)
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || f.deaf.Load() {
		f.lost.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for addr := range f.healthy(r.Context()) {
		if status := pass(r, addr, body); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

// healthy are the addresses of relays that are, another one first each time.
func (f *front) healthy(ctx context.Context) iter.Seq[string] {
	return func(yield func(string) bool) {
		first := int(f.turn.Add(1))
		for i := range f.relays {
			addr := f.relays[(first+i)%len(f.relays)].address()
			if addr != "" && child.Healthy(ctx, addr) && !yield(addr) {
				return
			}
		}
	}
}

// page passes a page's request on; /page-N/ before the path says which page's it is.
func (f *front) page(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/page-"), "/")
	for addr := range f.healthy(r.Context()) {
		proxy := httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.URL.Path, p.Out.URL.RawPath = "http", addr, "/"+path, ""
		}}
		proxy.ServeHTTP(w, r)
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

// pass sends the request to addr and returns the answer's status, 0 for none.
func pass(r *http.Request, addr string, body []byte) int {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://"+addr+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header = r.Header.Clone()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
