package web

import (
	"net/http"
	"time"
)

// Option changes how [Handle] treats one route.
type Option func(*route)

// Observe calls fn once after each request with the route, the status sent (499
// if the caller hung up first) and the time taken. fn must be safe for
// concurrent use; it is where metrics attach.
func Observe(fn func(route string, status int, took time.Duration)) Option {
	return func(rt *route) { rt.observe = fn }
}

// Credential runs check before the handler and before any of the body is read. check
// returns the request to pass on, or the answer as its error. shown, if set, is called
// when the check has passed.
func Credential(check func(r *http.Request) (*http.Request, error), shown func(r *http.Request)) Option {
	return func(rt *route) { rt.check, rt.shown = check, shown }
}

// Bodies bounds the memory of request bodies, across all routes with the same budget, and
// the time that each body may take to arrive. Beyond the budget the answer is 503 with
// Retry-After.
func Bodies(b *Budget, within time.Duration) Option {
	return func(rt *route) { rt.bodies, rt.within = b, within }
}

// Whole reads the body, at most limit bytes, before the request waits for its turn
// ([InTurn]), so that a slow body does not hold one.
func Whole(limit int64) Option {
	return func(rt *route) { rt.whole = limit }
}

// Answers bounds the memory of what [WriteJSON] sends: an answer is kept in memory until
// the client has read it.
func Answers(b *Budget) Option {
	return func(rt *route) { rt.answers = b }
}

// Quiet logs only failures (status 500 and above). It is for health checks,
// which would otherwise be most of the log.
func Quiet() Option {
	return func(rt *route) { rt.quiet = true }
}
