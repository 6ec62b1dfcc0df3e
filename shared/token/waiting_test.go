package token_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"roomcast/shared/token"
)

// held is a network on which no answer comes until it is closed.
type held chan struct{}

func (h held) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-h:
	case <-r.Context().Done():
	}
	return nil, errors.New("no answer")
}

// Tokens that wait for a key set, genuine or not, take little more than their own size:
// neither header nor claims are taken apart before there is a key.
func TestTokensThatWaitForKeysAreSmall(t *testing.T) {
	crumbs := func(from string, size int) string {
		var b strings.Builder
		b.WriteString(from)
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, `,"%x":1`, i)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(b.String() + "}"))
	}
	for what, size := range map[string]struct{ header, claims int }{"claims": {0, 11 << 10}, "header": {11 << 10, 0}} {
		synctest.Test(t, func(t *testing.T) {
			network := make(held)
			verifier, err := token.New(token.Config{SupabaseURL: project, HTTPClient: &http.Client{Transport: network}})
			if err != nil {
				t.Fatal(err)
			}
			const waiting = 100
			before := heap()
			var all sync.WaitGroup
			for i := range waiting {
				compact := crumbs(fmt.Sprintf(`{"alg":"ES256","kid":"%d"`, i), size.header) + "." + crumbs(`{"sub":"x"`, size.claims) + "." + strings.Repeat("A", 86)
				all.Go(func() { _, _ = verifier.Verify(t.Context(), compact) })
			}
			synctest.Wait()
			if each := (heap() - before) / waiting; each > 80<<10 {
				t.Errorf("a token with large %s takes %d kB", what, each>>10)
			}
			close(network)
			all.Wait()
		})
	}
}

// heap is what lives, in bytes.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
