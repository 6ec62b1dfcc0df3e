// Package browser holds the client side: roomcast.js, one ES module without a build
// step, receipts.js, a second one for the time of the dual run, and the plan that tells
// the client which way messages come. It serves all three.
package browser

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

//go:generate go -C build run .

var (
	//go:embed roomcast.js
	script []byte
	//go:embed receipts.js
	receipts []byte
)

// scriptAge is how long browsers use a module without asking again. A page loads
// it once; a new one reaches everybody within minutes of a deployment.
const scriptAge = "public, max-age=300"

// Script serves a module, compressed for whoever takes it.
type Script struct {
	source  []byte
	etag    string
	gzipped func() []byte // compressed when first asked for
}

// NewScript prepares the answers to GET /roomcast.js.
func NewScript() *Script { return newScript(script) }

// NewReceipts prepares the answers to GET /receipts.js.
func NewReceipts() *Script { return newScript(receipts) }

// newScript leaves the compressing to the first who asks for it: it takes longer than
// all the rest of a start, which most often is a message's and not a page's.
func newScript(source []byte) *Script {
	sum := sha256.Sum256(source)
	return &Script{
		source:  source,
		etag:    hex.EncodeToString(sum[:8]),
		gzipped: sync.OnceValue(func() []byte { return compress(source) }),
	}
}

// compress returns source as gzip writes it at its best.
func compress(source []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a valid one
	_, _ = z.Write(source)                                // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}

// Serve answers with the module. Its error is always nil.
func (s *Script) Serve(w http.ResponseWriter, r *http.Request) error {
	h, body, etag := w.Header(), s.source, `"`+s.etag+`"`
	h.Add("Vary", "Accept-Encoding")
	if takesGzip(r) {
		// Another representation, so another tag (RFC 9110, section 8.8.3.3).
		body, etag = s.gzipped(), `"`+s.etag+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Cache-Control", scriptAge)
	h.Set("ETag", etag)
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a caller who is gone is nobody to tell
	return nil
}

// takesGzip reads Accept-Encoding as far as browsers write it: a list of names,
// where q=0 refuses one.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			return strings.Trim(strings.TrimSpace(params), "0.") != "q="
		}
	}
	return false
}
