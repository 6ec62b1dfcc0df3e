package web

import (
	"cmp"
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an answer other than success. Status, Reason and Field go to the
// caller; Err goes to the log and nowhere else, so a handler may wrap whatever
// it got from below without asking whether a stranger may read it.
type Error struct {
	Status     int           // HTTP status, 400 to 599
	Reason     string        // shown to the caller: what was wrong, in plain words, never a secret
	Field      string        // the field, header or parameter at fault; empty if none
	RetryAfter time.Duration // when to come back; 0 says nothing
	Challenge  string        // of a 401: its WWW-Authenticate; empty is Bearer
	Err        error         // the cause, logged only; may be nil
}

// Error gives the reason and the cause, for logs. A cause that begins with the reason is
// not prefixed with it again.
func (e *Error) Error() string {
	text := e.Reason
	if e.Err != nil {
		cause := e.Err.Error()
		if strings.HasPrefix(cause, text) {
			text = cause
		} else {
			text += ": " + cause
		}
	}
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// BadRequest is a 400 that names the field at fault.
func BadRequest(field, reason string) *Error {
	return &Error{Status: http.StatusBadRequest, Field: field, Reason: reason}
}

// Unauthorized is a 401: the caller is not known. cause is only logged: why a credential
// failed would help an attacker.
func Unauthorized(reason string, cause error) *Error {
	return &Error{Status: http.StatusUnauthorized, Field: "Authorization", Reason: reason, Err: cause}
}

// Forbidden is a 403: the caller is known and may not.
func Forbidden(reason string, cause error) *Error {
	return &Error{Status: http.StatusForbidden, Reason: reason, Err: cause}
}

// NotFound is a 404.
func NotFound(reason string) *Error {
	return &Error{Status: http.StatusNotFound, Reason: reason}
}

// Unavailable is a 503: something behind this process is away, a repeat after
// the given time may well succeed.
func Unavailable(reason string, after time.Duration, cause error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Reason: reason, RetryAfter: after, Err: cause}
}

// Unanswered is [Unavailable], unless r's caller has hung up: then the cause is no fault of
// what is behind this process, and the error is the context's.
func Unanswered(r *http.Request, reason string, after time.Duration, cause error) error {
	if Disconnected(r) {
		return r.Context().Err()
	}
	return Unavailable(reason, after, cause)
}

// Disconnected reports whether r's caller has hung up.
func Disconnected(r *http.Request) bool { return errors.Is(r.Context().Err(), context.Canceled) }

// Part is a refusal as one of the parts of an answer.
type Part struct {
	Status int    `json:"status"`
	Error  string `json:"error"`
}

// PartOf makes a part of an [*Error]. Any other error is a fault of ours, returned as it is:
// it fails the whole answer.
func PartOf(refusal error) (Part, error) {
	var known *Error
	if !errors.As(refusal, &known) {
		return Part{}, refusal
	}
	return Part{known.Status, known.Reason}, nil
}

// statusClientGone is nginx's 499. It is never sent; logs and metrics use it so that
// clients that disconnect are not counted as our failures.
const statusClientGone = 499

// answer decides what the caller is told about err. Whatever is not an *Error is
// a fault of ours, and its text stays inside. r's own context tells a caller who
// hung up from a deadline below us.
func answer(r *http.Request, err error) *Error {
	var known *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return bodyTooLarge(tooLarge.Limit)
	case errors.Is(err, http.ErrAbortHandler):
		return &Error{Status: statusClientGone, Reason: "aborted"}
	case errors.Is(err, context.Canceled) && Disconnected(r):
		return &Error{Status: statusClientGone, Reason: "client closed the request"}
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable("timed out", time.Second, err)
	default:
		return &Error{Status: http.StatusInternalServerError, Reason: "internal error", Err: err}
	}
}

// write sends e as JSON. Headers that described the answer the handler had in
// mind would be lies about this one; the same list as net/http.Error removes.
func (e *Error) write(w http.ResponseWriter) {
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Etag", "Last-Modified"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", cmp.Or(e.Challenge, "Bearer")) // a 401 must name a scheme: RFC 9110, 15.5.2
	}
	if e.RetryAfter > 0 {
		// Whole seconds (RFC 9110, 10.2.3), rounded up: never an invitation to come early.
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	body := struct {
		Error string `json:"error"`
		Field string `json:"field,omitempty"`
	}{e.Reason, e.Field}
	// Two strings always marshal; the client may have disconnected.
	_ = WriteJSON(w, e.Status, body)
}
