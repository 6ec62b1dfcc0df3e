package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
)

// Body reads the whole body of r, at most limit bytes. It allocates as the body arrives,
// not by Content-Length. Its errors are answers: 413 beyond the limit, 400 for a body that
// ends early, 408 for one that does not arrive in time, 503 if the route's budget is used
// up ([Bodies]).
func Body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit { // no need to read it
		w.Header().Set("Connection", "close")
		return nil, bodyTooLarge(limit)
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		// Enough for a typical body and the read that finds its end, in one allocation.
		buf.Grow(int(min(r.ContentLength, firstRoom)) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return buf.Bytes(), nil
	}
	// What is left of this body is unread; the connection cannot carry another request.
	w.Header().Set("Connection", "close")
	return nil, bodyError(r, err)
}

// firstRoom is the most that is allocated, in bytes, before any of a body has come.
const firstRoom = 2 << 10

func bodyError(r *http.Request, err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errNoRoom):
		return noRoom()
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Status: http.StatusRequestTimeout, Field: "body", Reason: "took too long to arrive", Err: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Status: http.StatusBadRequest, Field: "body", Reason: "ends before its declared length", Err: err}
	case Disconnected(r):
		return context.Canceled
	default:
		return &Error{Status: http.StatusBadRequest, Field: "body", Reason: "unreadable", Err: err}
	}
}

func bodyTooLarge(limit int64) *Error {
	return &Error{
		Status: http.StatusRequestEntityTooLarge,
		Field:  "body",
		Reason: fmt.Sprintf("larger than %d bytes", limit),
	}
}

// RequireJSON is [RequireType] for application/json.
func RequireJSON(r *http.Request) error { return RequireType(r, "application/json") }

// RequireType returns a 415 unless the body's media type is one of types and its
// text, if a charset is named, is UTF-8. Compressed bodies are refused too: no
// caller of ours sends them, and unpacking is how a small body becomes a big one.
func RequireType(r *http.Request, types ...string) error {
	if slices.Contains(types, r.Header.Get("Content-Type")) && r.Header.Get("Content-Encoding") == "" {
		return nil // as our callers write it: nothing to parse
	}
	got, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	encoding := r.Header.Get("Content-Encoding")
	switch {
	case err != nil || !slices.Contains(types, got):
		return unsupported("Content-Type", "must be "+strings.Join(types, " or "))
	case charset != "" && !strings.EqualFold(charset, "utf-8"):
		return unsupported("Content-Type", "charset must be utf-8")
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return unsupported("Content-Encoding", "must be absent")
	}
	return nil
}

func unsupported(field, reason string) *Error {
	return &Error{Status: http.StatusUnsupportedMediaType, Field: field, Reason: reason}
}

// WriteJSON answers with v. A value that cannot be marshalled is an error with
// nothing sent yet. HTML characters are left alone: the answer is never a page,
// and a row's text should come back as it was stored.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return WriteJSONText(w, status, buf.Bytes())
}

// WriteJSONText is WriteJSON for what is encoded already.
func WriteJSONText(w http.ResponseWriter, status int, text []byte) error {
	if rec, ok := w.(*recorder); ok {
		if err := rec.reserve(len(text)); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The only error left is a client that has disconnected: there is nobody to tell.
	_, _ = w.Write(text)
	return nil
}
