package runtime

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// maxResult is what Lambda takes as one buffered result: 6 MB and the envelope.
const maxResult = 6 << 20

var errTooLarge = errors.New("runtime: answer larger than Lambda carries")

// response is the http.ResponseWriter of one event. The handler's goroutine
// writes it; the adapter reads it after begun is closed.
type response struct {
	method string
	body   io.Writer
	header http.Header // the handler's, until WriteHeader

	status int         // 0 until the handler has decided
	sent   http.Header // header as it was then: later changes have no effect, as in net/http
	err    error       // why there is no answer, or no whole one

	begun     chan struct{} // closed when status and sent are final
	committed bool
}

func newResponse(method string, body io.Writer) *response {
	return &response{method: method, body: body, header: http.Header{}, begun: make(chan struct{})}
}

func (w *response) Header() http.Header { return w.header }

// WriteHeader decides the status. Informational ones have no place in a result.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || status < 200 {
		return
	}
	w.status = status
	w.sent = w.header.Clone()
}

func (w *response) Write(p []byte) (int, error) {
	w.commit(p)
	switch {
	case !w.mayHaveBody():
		return 0, http.ErrBodyNotAllowed
	case w.method == http.MethodHead:
		return len(p), nil
	}
	n, err := w.body.Write(p)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// Flush lets the head go, so that a streamed answer begins before its first byte.
func (w *response) Flush() { w.commit(nil) }

func (w *response) mayHaveBody() bool {
	return w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

// commit makes the head final. start is how the body begins: an answer without a
// Content-Type gets the one net/http's server would have guessed, where API
// Gateway would claim JSON.
func (w *response) commit(start []byte) {
	if w.committed {
		return
	}
	w.committed = true
	w.WriteHeader(http.StatusOK)
	_, typed := w.sent["Content-Type"]
	if !typed && len(start) > 0 && w.mayHaveBody() && w.sent.Get("Content-Encoding") == "" {
		w.sent.Set("Content-Type", http.DetectContentType(start))
	}
	close(w.begun)
}

// fail notes that the handler did not end well. A head that is not out yet is
// forgotten: status 0 then means that there is no answer at all.
func (w *response) fail(err error) {
	w.err = err
	if w.committed {
		return
	}
	w.committed = true
	w.status, w.sent = 0, nil
	close(w.begun)
}

// head gives the headers in the shape of payload format 2.0: one string per
// name, cookies apart, because a Set-Cookie cannot be joined by commas. The
// platform frames the body, so that what frames it here is left out.
func (w *response) head() (headers map[string]string, cookies []string) {
	headers = make(map[string]string, len(w.sent))
	for name, values := range w.sent {
		switch name {
		case "Set-Cookie":
			cookies = values
		case "Connection", "Content-Length", "Keep-Alive", "Trailer", "Transfer-Encoding", "Upgrade":
		default:
			if len(values) > 0 {
				headers[name] = strings.Join(values, ", ")
			}
		}
	}
	return headers, cookies
}

// result is the whole answer. A body is sent as text if it is valid UTF-8, for
// then JSON carries it byte by byte, and as base64 otherwise; what the
// Content-Type claims does not matter.
func (w *response) result(body []byte) *events.LambdaFunctionURLResponse {
	headers, cookies := w.head()
	res := &events.LambdaFunctionURLResponse{StatusCode: w.status, Headers: headers, Cookies: cookies}
	if utf8.Valid(body) {
		res.Body = string(body)
	} else {
		res.Body, res.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	if tooLarge(res.Body) {
		return refusal(http.StatusInternalServerError, "answer too large")
	}
	return res
}

// tooLarge reports whether Lambda would refuse a result with this body. JSON
// makes of one byte six at most, so that small bodies need no measuring.
func tooLarge(body string) bool {
	if len(body) < maxResult/6 {
		return false
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // as aws-lambda-go has it
	return enc.Encode(body) != nil || out.Len() > maxResult
}

// limitedBuffer keeps a body, up to what could be sent at all.
type limitedBuffer struct{ bytes.Buffer }

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxResult {
		return 0, errTooLarge
	}
	return b.Buffer.Write(p)
}

// refusal is an answer of the adapter's own.
func refusal(status int, reason string) *events.LambdaFunctionURLResponse {
	body, _ := json.Marshal(map[string]string{"error": reason}) // strings always marshal
	return &events.LambdaFunctionURLResponse{
		StatusCode: status,
		Headers:    map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"},
		Body:       string(body),
	}
}

// streamed is the same answer for a streaming Function URL.
func streamed(res *events.LambdaFunctionURLResponse) *events.LambdaFunctionURLStreamingResponse {
	return &events.LambdaFunctionURLStreamingResponse{
		StatusCode: res.StatusCode,
		Headers:    res.Headers,
		Body:       strings.NewReader(res.Body),
	}
}
