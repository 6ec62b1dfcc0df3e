package browser_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"roomcast/shared/browser"
)

// sizes bound what the modules may weigh on the wire, minified and gzipped. A page loads the
// first; the part is for the time of the move.
var sizes = map[string]int{
	"roomcast.js":     11000,
	"parts/move-*.js": 1800,
	"receipts.js":     3200,
	"react.js":        1600,
	"vue.js":          1500,
	"svelte.js":       1500,
}

func TestModulesAreSmall(t *testing.T) {
	for pattern, most := range sizes {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) != 1 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		source, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		z.Write(source)
		z.Close()
		t.Logf("%s has %d bytes, %d gzipped", names[0], len(source), b.Len())
		if b.Len() > most {
			t.Errorf("%s has %d bytes gzipped, want at most %d", names[0], b.Len(), most)
		}
	}
}

// The part that roomcast.js loads is served under the name by which it asks, for good; that
// of another version is not, and nobody keeps its absence.
func TestServeParts(t *testing.T) {
	source, err := os.ReadFile("roomcast.js")
	if err != nil {
		t.Fatal(err)
	}
	asked := regexp.MustCompile(`import\("\./(parts/[^"]+)"\)`).FindAllSubmatch(source, -1)
	if len(asked) != 1 {
		t.Fatalf("roomcast.js imports %q", asked)
	}
	mux, parts := http.NewServeMux(), browser.NewParts()
	mux.HandleFunc("GET /parts/{part}", func(w http.ResponseWriter, r *http.Request) { _ = parts.Serve(w, r) })
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	name := string(asked[0][1])
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w := get("/" + name)
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), want) || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("%s: %d with %d bytes, %v", name, w.Code, w.Body.Len(), w.Header())
	}
	if w := get("/parts/move-00000000.js"); w.Code != http.StatusNotFound || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("another version's part: %d, %v", w.Code, w.Header())
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
