// Package browser holds the client: its TypeScript sources in src, and the modules that
// build makes of them. It serves roomcast.js, the parts that it loads where a page needs
// them, receipts.js, which is for the time of the dual run, and their types, and has the
// plan that tells the client which way messages come. The directory is also the npm
// package "roomcast".
package browser

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
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
	//go:embed roomcast.d.ts
	types []byte
	//go:embed parts
	parts embed.FS
)

// scriptAge is how long browsers use a module without asking again. A page loads
// it once; a new one reaches everybody within minutes of a deployment.
const scriptAge = "public, max-age=300"

// partAge is for what never changes under its name.
const partAge = "public, max-age=31536000, immutable"

const javaScript = "text/javascript; charset=utf-8"

// Script serves a module or its types, compressed for clients that accept gzip.
type Script struct {
	kind    string // its Content-Type
	age     string // its Cache-Control
	source  []byte
	etag    func() string
	gzipped func() []byte // compressed when first asked for
}

// NewScript prepares the answers to GET /roomcast.js.
func NewScript() *Script { return newScript(script, javaScript, scriptAge) }

// NewReceipts prepares the answers to GET /receipts.js.
func NewReceipts() *Script { return newScript(receipts, javaScript, scriptAge) }

// NewTypes prepares the answers to GET /roomcast.d.ts.
func NewTypes() *Script { return newScript(types, "text/plain; charset=utf-8", scriptAge) }

// Parts serves what roomcast.js loads by import().
type Parts struct {
	scripts map[string]*Script // by name
}

// NewParts prepares the answers to GET /parts/{part}.
func NewParts() *Parts {
	p := &Parts{scripts: map[string]*Script{}}
	names, _ := fs.Glob(parts, "parts/*.js") // the pattern is a valid one
	for _, name := range names {
		source, _ := parts.ReadFile(name) // it is there
		p.scripts[path.Base(name)] = newScript(source, javaScript, partAge)
	}
	return p
}

// Serve answers with a part of this version: another one's roomcast.js asks for another
// name, and goes on without. Its error is always nil.
func (p *Parts) Serve(w http.ResponseWriter, r *http.Request) error {
	script := p.scripts[r.PathValue("part")]
	if script == nil {
		w.Header().Set("Cache-Control", "no-store") // another machine may have it
		http.NotFound(w, r)
		return nil
	}
	return script.Serve(w, r)
}

// newScript hashes and compresses when first asked: compressing takes longer than all the
// rest of a start, and most starts are caused by a message and not by a page.
func newScript(source []byte, kind, age string) *Script {
	return &Script{
		kind:   kind,
		age:    age,
		source: source,
		etag: sync.OnceValue(func() string {
			sum := sha256.Sum256(source)
			return hex.EncodeToString(sum[:8])
		}),
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
	h, body, etag := w.Header(), s.source, `"`+s.etag()+`"`
	h.Add("Vary", "Accept-Encoding")
	if takesGzip(r) {
		// Another representation, so another tag (RFC 9110, section 8.8.3.3).
		body, etag = s.gzipped(), `"`+s.etag()+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Cache-Control", s.age)
	h.Set("ETag", etag)
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", s.kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client has disconnected
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
