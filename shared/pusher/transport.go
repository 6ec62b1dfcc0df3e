package pusher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	gopusher "github.com/pusher/pusher-http-go/v5"
)

// under calls fn with the client's timeout, and cleans its error.
func (c *Client) under(ctx context.Context, op string, fn func(context.Context) error) error {
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > c.cfg.Timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	err := fn(ctx)
	if err == nil {
		return nil
	}
	var answer *Error
	if errors.As(err, &answer) {
		return answer
	}
	// The other pooled connections may be as dead as this one (a resumed machine): dialling
	// again is cheaper than a timeout for each.
	c.wire.closeIdle()
	return &networkError{op: op, err: withoutURL(ctx, err), secrets: c.secrets()}
}

// exchange returns an answer of 2xx. Any other, redirects included, is an *Error.
func (c *Client) exchange(ctx context.Context, op string, request []byte) (answer, error) {
	start := c.cfg.Now()
	a, err := c.wire.exchange(ctx, request)
	if err == nil && a.status/100 != 2 {
		return a, c.answerError(op, a, start)
	}
	return a, err
}

// send runs one call of the library. It knows no context and sets its HTTP client lazily, so
// each call gets a copy of it with an HTTP client that carries the context.
func (c *Client) send(ctx context.Context, op string, fn func(*gopusher.Client) error) error {
	return c.under(ctx, op, func(ctx context.Context) error {
		lib := c.lib
		lib.HTTPClient = &http.Client{Transport: &roundTripper{ctx: ctx, op: op, client: c}}
		return fn(&lib)
	})
}

// roundTripper puts the library on the client's wire.
type roundTripper struct {
	ctx    context.Context
	op     string
	client *Client
}

// RoundTrip replaces the body of a 2xx by {}: the event is out, whatever the body says, and
// the library would call a body that is not JSON an error.
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	var request bytes.Buffer
	if err := req.Write(&request); err != nil {
		return nil, err
	}
	a, err := t.client.exchange(t.ctx, t.op, request.Bytes())
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Request: req,
		Body: io.NopCloser(strings.NewReader("{}")), ContentLength: 2}, nil
}

// buffers are reused from call to call.
type buffers struct{ pool sync.Pool }

type buffer struct{ bytes []byte }

// maxKeptBuffer is enough for ten messages of usual length; those that rare calls have
// grown beyond it are not kept.
const maxKeptBuffer = 32 << 10

func (b *buffers) get() *buffer {
	if kept, ok := b.pool.Get().(*buffer); ok {
		return kept
	}
	return &buffer{}
}

func (b *buffers) put(one *buffer) {
	if cap(one.bytes) <= maxKeptBuffer {
		b.pool.Put(one)
	}
}

// networkError is a call without an answer. Its text is cleaned; the cause is there for
// errors.Is and errors.As.
type networkError struct {
	op      string
	err     error
	secrets []string
}

func (e *networkError) Error() string { return e.op + ": " + clean(e.err.Error(), e.secrets) }
func (e *networkError) Unwrap() error { return e.err }

// withoutURL strips every *url.Error, whose text is the signed URL, and makes sure that a
// context's end can be told by errors.Is.
func withoutURL(ctx context.Context, err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	if done := ctx.Err(); done != nil && !errors.Is(err, done) {
		err = fmt.Errorf("%w: %w", done, err)
	}
	return err
}
