// Package web is the house's HTTP manners: handlers return errors, one place
// answers and logs, bodies are bounded, secrets are compared in constant time.
//
// A handler either writes a success and returns nil, or writes nothing and
// returns an error. An [*Error] says what the caller may know; any other error
// is answered with "internal error" and logged.
package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// HandlerFunc answers one request, or says why it could not.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Option changes how [Handle] treats one route.
type Option func(*route)

// Observe calls fn once after each request with the route, the status sent (499
// if the caller hung up first) and the time taken. fn must be safe for
// concurrent use; it is where metrics attach.
func Observe(fn func(route string, status int, took time.Duration)) Option {
	return func(rt *route) { rt.observe = fn }
}

// Quiet logs only failures (status 500 and above). It is for health checks,
// which would otherwise be most of the log.
func Quiet() Option {
	return func(rt *route) { rt.quiet = true }
}

// Handle makes an http.Handler of h. name is the route as the operator knows it
// (a pattern such as "GET /rooms/{room}/events"): it is what is logged and
// measured. The real path, the query and the headers are not, since room ids,
// tokens and signatures travel there.
//
// Every answer carries Cache-Control: no-store (a handler may replace it) and
// headers that keep browsers from guessing at types or framing the answer. A
// panic is answered with 500; http.ErrAbortHandler passes through.
func Handle(log *slog.Logger, name string, h HandlerFunc, opts ...Option) http.Handler {
	rt := &route{log: log, name: name, handler: h, observe: func(string, int, time.Duration) {}}
	for _, opt := range opts {
		opt(rt)
	}
	return rt
}

type route struct {
	log     *slog.Logger
	name    string
	handler HandlerFunc
	observe func(string, int, time.Duration)
	quiet   bool
}

// ServeHTTP runs the handler and sees to it that exactly one answer is given, one
// line logged and one observation made, whatever the handler did.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	secure(rec.Header())

	err := rt.call(rec, r)
	begun := rec.status != 0 // what the handler sent cannot be taken back
	var reply *Error
	if err != nil {
		reply = answer(r, err)
		if !begun && reply.Status != statusClientGone {
			reply.write(rec)
		}
	}
	rt.finish(rec, r, time.Since(start), reply)

	// Cutting the connection is the only way to tell a caller that the success
	// it is reading is incomplete.
	if errors.Is(err, http.ErrAbortHandler) || err != nil && begun && rec.status < 400 {
		panic(http.ErrAbortHandler)
	}
}

// call runs the handler and turns a panic into an error, so that it takes the
// same way out as any other failure.
func (rt *route) call(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return rt.handler(w, r)
}

// finish logs and measures. The method is cut short because it is the one thing
// in the line that the caller chooses freely.
func (rt *route) finish(rec *recorder, r *http.Request, took time.Duration, reply *Error) {
	status := rec.status
	switch {
	case status == 0 && reply != nil:
		status = reply.Status
	case status == 0:
		status = http.StatusOK // net/http's answer for a handler that wrote nothing
	}
	rt.observe(rt.name, status, took)

	level := slog.LevelInfo
	failed := status >= 500 || reply != nil && reply.Status >= 500
	if failed {
		level = slog.LevelError
	} else if rt.quiet {
		return
	}
	if !rt.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method[:min(len(r.Method), 16)]), slog.String("route", rt.name),
		slog.Int("status", status), slog.Duration("took", took), slog.Int64("bytes", rec.bytes),
	}
	if reply != nil {
		attrs = append(attrs, slog.String("err", reply.Error()))
	}
	rt.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// secure sets what every answer carries. The content is data for programs: no
// page may frame it, no browser guess a type, no cache keep it.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
}

// recorder remembers what went out. status is 0 until something did.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the first final status; informational ones may precede it.
func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && status >= 200 {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes of the body.
func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	n, err := rec.ResponseWriter.Write(p)
	rec.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the flusher and the deadlines.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }
