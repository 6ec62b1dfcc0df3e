package browser_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"roomcast/shared/browser"
)

// maxScript is what the client may weigh on the wire, minified and gzipped. Polling, one
// request for many rooms, signals and the rest doubled the 6 kB of the client without them.
const maxScript = 12500

func TestScriptIsSmall(t *testing.T) {
	source, err := os.ReadFile("roomcast.js")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	z.Write(source)
	z.Close()
	t.Logf("roomcast.js has %d bytes, %d gzipped", len(source), b.Len())
	if b.Len() >= maxScript {
		t.Errorf("roomcast.js has %d bytes gzipped, want less than %d", b.Len(), maxScript)
	}
}

func TestServeScript(t *testing.T) {
	source, err := os.ReadFile("roomcast.js")
	if err != nil {
		t.Fatal(err)
	}
	script := browser.NewScript()
	get := func(encoding, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/roomcast.js", nil)
		r.Header.Set("Accept-Encoding", encoding)
		r.Header.Set("If-None-Match", etag)
		w := httptest.NewRecorder()
		if err := script.Serve(w, r); err != nil {
			t.Fatal(err)
		}
		return w
	}
	for encoding, compressed := range map[string]bool{
		"": false, "br, gzip": true, "gzip;q=0.5": true, "gzip;q=0": false, "identity": false,
	} {
		w := get(encoding, "")
		body := w.Body.Bytes()
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != compressed {
			t.Errorf("Accept-Encoding %q: compressed is %v", encoding, got)
		} else if got {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if w.Code != http.StatusOK || !bytes.Equal(body, source) {
			t.Errorf("Accept-Encoding %q: %d with %d bytes", encoding, w.Code, len(body))
		}
		if got := w.Header().Get("Content-Type"); got != "text/javascript; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
		again := get(encoding, w.Header().Get("ETag"))
		if again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("asked again: %d with %d bytes", again.Code, again.Body.Len())
		}
	}
	if get("gzip", "").Header().Get("ETag") == get("", "").Header().Get("ETag") {
		t.Error("two representations share an ETag")
	}
}
