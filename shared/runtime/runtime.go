// Package runtime runs one http.Handler wherever it finds itself: as a server
// that drains on a signal and leaves when it has nothing to do (Fly), or as a
// function that is called with events (AWS Lambda).
//
// The two differ in one way a program must know about: on Lambda nothing runs
// between two requests. [Freezes] tells which one it is; a program asks once,
// while it wires itself, and there lets a request finish its own work before it
// is answered.
package runtime

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// lambdaAPI is the variable by which Lambda tells a process where to ask for
// events. It is set on Lambda and nowhere else.
const lambdaAPI = "AWS_LAMBDA_RUNTIME_API"

// Freezes reports whether this process is stopped between requests, so that
// work left to a goroutine is not done until the next request, or never. It is
// true on Lambda. getenv is os.Getenv or a test's.
func Freezes(getenv func(string) string) bool { return getenv(lambdaAPI) != "" }

// Config says where and how to run. Only Addr and Log are needed by a server,
// only Lambda and Log by a function.
type Config struct {
	Lambda          bool // run as a Lambda function: the value of Freezes
	LambdaStreaming bool // the Function URL's InvokeMode is RESPONSE_STREAM

	Proxied     bool         // connections come from a proxy, not from clients
	Addr        string       // host:port or :port to listen on
	MetricsAddr string       // the same for Metrics; empty serves none
	Metrics     http.Handler // served on every path of MetricsAddr

	// Ready is called once when the listeners are open, with their addresses
	// (metrics is nil if there is none). May be nil.
	Ready func(addr, metrics net.Addr)

	IdleExit     time.Duration // leave after this long without work (see Working); 0 never
	DrainTimeout time.Duration // for the whole way out; 0 means 4 s

	// Worker is what the process does besides answering requests. May be nil.
	Worker Worker

	Log *slog.Logger
}

// Worker is work in the background, as far as leaving is concerned.
type Worker interface {
	// Busy reports whether leaving now would interrupt something. It is asked
	// only while no request is being served, and seldom.
	Busy() bool
	// Drain finishes or hands back what is under way. It is called once, after
	// the last request was answered, and must return when ctx ends.
	Drain(ctx context.Context) error
}

// ErrForced is returned when a second signal cut the draining short.
var ErrForced = errors.New("runtime: second signal, left without draining")

// defaultDrain fits into Fly's kill_timeout of 5 s, after which the machine is
// gone whatever we do.
const defaultDrain = 4 * time.Second

// Run serves handler until there is a reason to leave, and leaves in order.
//
// A server leaves when ctx ends, on SIGINT or SIGTERM, or after IdleExit
// without work. It then accepts no more, lets the requests under way finish,
// drains the Worker, and returns nil: exit with status 0, which on Fly means
// "stopped until the next request". An error means that a listener could not be
// had, that work was left undone within DrainTimeout, or ErrForced. Requests that have
// shown no credential (see Working) are cut off without an error.
//
// On Lambda it returns only if it cannot begin. There the platform ends the
// process; if the runtime API fails, aws-lambda-go exits with status 1 and
// Lambda starts a new one.
func Run(ctx context.Context, cfg Config, handler http.Handler) error {
	if cfg.Lambda {
		return runLambda(ctx, cfg, handler)
	}
	signals := make(chan os.Signal, 2) // room for the second, forcing one
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	return serve(ctx, cfg, handler, signals)
}
