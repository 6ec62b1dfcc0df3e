package web

import (
	"io"
	"net/http"
)

// DropUnread closes the connection after an answer that was given without reading the
// whole request body. Otherwise net/http reads up to 256 kB of it before it sends the
// answer, to be able to reuse the connection, at whatever speed the client sends. A POST
// that has passed its [Credential] keeps the connection.
func DropUnread(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 || r.Body == nil {
			next.ServeHTTP(w, r)
			return
		}
		body := &watched{ReadCloser: r.Body, left: r.ContentLength}
		r.Body = body
		next.ServeHTTP(&dropping{ResponseWriter: w, body: body}, r)
	})
}

// watched is a body that records whether it was read completely.
type watched struct {
	io.ReadCloser
	left  int64 // bytes still to come; negative if that is not known
	ended bool
	known bool // it is of a POST that has passed its Credential
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	b.ended = b.ended || err == io.EOF || b.left == 0
	return n, err
}

// dropping adds "Connection: close" to the answer, which makes net/http close.
type dropping struct {
	http.ResponseWriter
	body *watched
	sent bool
}

func (w *dropping) WriteHeader(status int) {
	if !w.sent && status >= 200 {
		w.sent = true
		if !w.body.ended && (!w.body.known || status >= 400) {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *dropping) Write(p []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the flusher and the deadlines.
func (w *dropping) Unwrap() http.ResponseWriter { return w.ResponseWriter }
