package runtime

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzLambdaEvent: whatever Lambda hands over is refused or becomes a request as net/http's
// server makes them, with nothing that only a proxy of Fly's may say.
func FuzzLambdaEvent(f *testing.F) {
	for _, name := range []string{"function-url-get.json", "function-url-post.json", "gateway-v2-post-base64.json", "gateway-v2-stage.json"} {
		f.Add(sample(f, name))
	}
	f.Add([]byte(`{"version":"2.0","rawPath":"//x/../%zz","headers":{"Fly-Client-IP":"1.2.3.4","a b":"\n"},"requestContext":{"http":{"method":"GET"}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		ev, err := parseEvent(payload)
		if err != nil {
			return
		}
		r, err := ev.request()
		if err != nil {
			return
		}
		if r.URL == nil || !strings.HasPrefix(r.URL.Path, "/") || r.Body == nil || r.Header.Get("Fly-Client-IP") != "" || r.Header.Get("Host") != "" {
			t.Fatalf("%q became %+v", payload, r)
		}
		http.NewServeMux().ServeHTTP(newResponse(r.Method, &limitedBuffer{}), r) // must not panic
	})
}
