// Package web is what all HTTP handlers share: they return errors, one place answers
// and logs, the caller's credential is checked before its body is read, bodies are
// bounded, secrets are compared in constant time.
//
// A handler either writes a success and returns nil, or writes nothing and
// returns an error. An [*Error] says what the caller may know; any other error
// is answered with "internal error" and logged.
package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// HandlerFunc answers one request, or says why it could not.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

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

	limit   *Limiter
	check   func(*http.Request) (*http.Request, error)
	shown   func(*http.Request)
	bodies  *Budget
	within  time.Duration // for a body to arrive; 0: the server's limit
	whole   int64         // read so much of it before the turn; 0: the handler reads
	answers *Budget
	turns   *Turns
	caller  func(*http.Request) string
	said    sampler // to anybody, and refusals
	broken  sampler // failures, which a flood of others must not hide
}

// ServeHTTP runs the handler and sees to it that exactly one answer is given, one
// line logged and one observation made, whatever the handler did.
func (rt *route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	defer rec.close()
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
func (rt *route) call(w *recorder, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = http.ErrAbortHandler
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return rt.serve(w, r)
}

// serve checks the address's limit, then the credential, then admits the body, then calls
// the handler.
func (rt *route) serve(w *recorder, r *http.Request) error {
	if rt.limit != nil {
		if err := rt.limit.check(r); err != nil {
			return err
		}
	}
	if rt.check != nil {
		checked, err := rt.check(r)
		if err != nil {
			return err
		}
		if body, ok := checked.Body.(*watched); ok {
			body.known = r.Method == http.MethodPost
		}
		r = checked
		if rt.shown != nil {
			rt.shown(r)
		}
	}
	w.account = rt.answers.account(r)
	if rt.bodies != nil && r.ContentLength != 0 {
		body := rt.bodies.account(r)
		defer body.close()
		r.Body = &accounted{ReadCloser: r.Body, account: &body}
		// On Lambda there is no deadline to set: the body is already in memory.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(rt.within))
	}
	if rt.whole > 0 {
		body, err := Body(w, r, rt.whole)
		if err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if rt.turns != nil {
		leave, err := rt.turns.Enter(r.Context(), rt.caller(r))
		if err != nil {
			return err
		}
		w.leave = leave
	}
	return rt.handler(w, r)
}

// finish logs and measures. The method is truncated because the caller chooses it freely.
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
	log, unsaid := true, 0
	switch {
	case failed:
		log, unsaid = rt.broken.allow(time.Now())
	case status >= 400 || rt.check == nil:
		log, unsaid = rt.said.allow(time.Now())
	}
	if !log {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method[:min(len(r.Method), 16)]), slog.String("route", rt.name),
		slog.Int("status", status), slog.Duration("took", took), slog.Int64("bytes", rec.bytes),
	}
	if reply != nil {
		attrs = append(attrs, slog.String("err", reply.Error()))
	}
	if unsaid > 0 {
		attrs = append(attrs, slog.Int("more", unsaid))
	}
	rt.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// secure sets what every answer carries. The content is data for programs: no
// page may frame it, no browser guess a type, no cache keep it.
func secure(h http.Header) {
	values := [...]string{"no-store", "nosniff", "default-src 'none'; frame-ancestors 'none'", "no-referrer"} // one allocation, where Set makes four
	h["Cache-Control"] = values[0:1:1]
	h["X-Content-Type-Options"] = values[1:2:2]
	h["Content-Security-Policy"] = values[2:3:3]
	h["Referrer-Policy"] = values[3:4:4]
}
