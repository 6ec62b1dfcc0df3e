package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

// deadlineMargin is how long before the function's own timeout a handler's
// context ends. At the timeout the process is killed and the caller sees a 502
// without a word; the margin leaves room to say something. Half of it is for the
// handler to answer by itself, half for the adapter to answer in its stead.
const deadlineMargin = 500 * time.Millisecond

var (
	errDeadline = errors.New("runtime: function deadline")
	errPanic    = errors.New("runtime: handler panicked")
	// errNotLambda is found out here, since aws-lambda-go would exit over it.
	errNotLambda = errors.New("runtime: not on Lambda: " + lambdaAPI + " is not set")
)

// runLambda hands events to handler until the platform ends the process.
func runLambda(ctx context.Context, cfg Config, handler http.Handler) error {
	if os.Getenv(lambdaAPI) == "" {
		return errNotLambda
	}
	a := adapter{log: cfg.Log, streaming: cfg.LambdaStreaming, handler: handler}
	lambda.StartWithOptions(a.invoke, lambda.WithContext(ctx))
	return nil
}

// adapter turns events into requests and answers into results.
type adapter struct {
	log       *slog.Logger
	streaming bool
	handler   http.Handler
}

// invoke answers one event, with an *events.LambdaFunctionURLResponse or, for a
// streaming Function URL, an *events.LambdaFunctionURLStreamingResponse. API
// Gateway reads the former as well (its payload format 2.0 has the same fields)
// and cannot stream, so it gets that one whatever the Function URL is set to.
//
// An error means that the event was no HTTP request. What goes wrong with a
// request is an HTTP answer.
func (a adapter) invoke(ctx context.Context, payload json.RawMessage) (any, error) {
	ev, err := parseEvent(payload)
	if err != nil {
		return nil, err
	}
	stream := a.streaming && ev.functionURL()
	r, err := ev.request()
	switch {
	case err != nil && stream:
		return streamed(refusal(http.StatusBadRequest, err.Error())), nil
	case err != nil:
		return refusal(http.StatusBadRequest, err.Error()), nil
	case stream:
		return a.stream(ctx, r), nil
	default:
		return a.buffer(ctx, r), nil
	}
}

// buffer waits for the whole answer.
func (a adapter) buffer(ctx context.Context, r *http.Request) *events.LambdaFunctionURLResponse {
	body := &limitedBuffer{}
	w := newResponse(r.Method, body)
	r, p := withPatience(ctx, r)
	defer p.release()
	done := a.serve(w, r, func() {})
	if !before(done, p.late) {
		return a.overdue()
	}
	if w.err != nil {
		a.log.Error("no answer", "err", w.err)
		return refusal(http.StatusInternalServerError, "internal error")
	}
	return w.result(body.Bytes())
}

// stream returns as soon as the head of the answer is known; the body follows
// through a pipe. If it breaks off, aws-lambda-go tells the platform in a
// trailer and the caller's connection is cut.
func (a adapter) stream(ctx context.Context, r *http.Request) *events.LambdaFunctionURLStreamingResponse {
	reader, writer := io.Pipe()
	w := newResponse(r.Method, writer)
	r, p := withPatience(ctx, r)
	stop := context.AfterFunc(p.late, func() { _ = writer.CloseWithError(errDeadline) })
	done := a.serve(w, r, func() {
		stop()
		_ = writer.CloseWithError(w.err) // nil is an ordinary end
		p.release()
	})
	body := &streamBody{PipeReader: reader, patience: p, done: done}
	if !before(w.begun, p.late) {
		_ = body.Close()
		return streamed(a.overdue())
	}
	if w.status == 0 {
		_ = body.Close()
		return streamed(refusal(http.StatusInternalServerError, "internal error"))
	}
	headers, cookies := w.head()
	return &events.LambdaFunctionURLStreamingResponse{
		StatusCode: w.status, Headers: headers, Cookies: cookies, Body: body,
	}
}

// streamBody is closed by aws-lambda-go when the answer is out, or the caller
// gone. Nothing should be left running by then, for the process freezes next.
type streamBody struct {
	*io.PipeReader
	patience
	done <-chan struct{}
}

func (b *streamBody) Close() error {
	err := b.PipeReader.Close()
	b.cancel()
	select {
	case <-b.done:
	case <-b.late.Done():
	}
	return err
}

// overdue answers for a handler that outstayed even the end of its context. It
// is left behind, as http.TimeoutHandler would leave it.
func (a adapter) overdue() *events.LambdaFunctionURLResponse {
	a.log.Error("no answer", "err", errDeadline)
	return refusal(http.StatusGatewayTimeout, "timed out")
}

// patience is how long one request may take.
type patience struct {
	cancel  context.CancelFunc // ends the handler's context
	late    context.Context    // ends when somebody must have answered
	release context.CancelFunc // ends both; for when the handler has returned
}

// withPatience gives the request a context that ends before the function's
// timeout. A function with a short timeout keeps three quarters of it.
func withPatience(ctx context.Context, r *http.Request) (*http.Request, patience) {
	deadline, ok := ctx.Deadline()
	if !ok { // only outside of Lambda
		inner, cancel := context.WithCancel(ctx)
		return r.WithContext(inner), patience{cancel, ctx, cancel}
	}
	margin := min(deadlineMargin, time.Until(deadline)/4)
	late, release := context.WithDeadline(ctx, deadline.Add(-margin/2))
	inner, cancel := context.WithDeadline(late, deadline.Add(-margin))
	return r.WithContext(inner), patience{cancel, late, release}
}

// before waits for event, false if late ends without it. An event that is there
// wins: a handler that returns quickly ends late as well, by releasing it.
func before(event <-chan struct{}, late context.Context) bool {
	select {
	case <-event:
		return true
	case <-late.Done():
	}
	select {
	case <-event:
		return true
	default:
		return false
	}
}

// serve runs the handler in a goroutine and closes done when it and finish have
// returned. A panic becomes an error: aws-lambda-go would exit, and with the
// process would go all that it has warmed up.
func (a adapter) serve(w *response, r *http.Request, finish func()) (done <-chan struct{}) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer finish()
		defer func() {
			switch p := recover(); p {
			case nil:
				w.commit(nil)
			case http.ErrAbortHandler:
				w.fail(http.ErrAbortHandler)
			default:
				a.log.Error("panic", "value", fmt.Sprint(p), "stack", string(debug.Stack()))
				w.fail(errPanic)
			}
		}()
		a.handler.ServeHTTP(w, r)
	}()
	return ended
}
