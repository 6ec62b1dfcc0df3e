package pusher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	gopusher "github.com/pusher/pusher-http-go/v5"
)

const (
	maxAnswer   = 64 << 10         // bytes read of any answer
	idleTimeout = 30 * time.Second // shorter than the load balancers' in front of Pusher
	dialTimeout = 3 * time.Second
)

// newTransport makes the one pool of a Client. It speaks HTTP/1.1 only: with HTTP/2 all
// lanes would share one connection, and stall together when it is dead.
func newTransport(conns int) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		Protocols:              &protocols,
		MaxConnsPerHost:        conns,
		MaxIdleConns:           conns,
		MaxIdleConnsPerHost:    conns,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true, // answers are {} or a line, and what is unpacked would have to be bounded, too
	}
}

// send runs one call of the library under ctx and the client's timeout. The library knows
// no context and sets its HTTP client lazily, so each call gets a copy of it with an
// HTTP client that carries the context; the pool underneath is shared.
func (c *Client) send(ctx context.Context, op string, fn func(*gopusher.Client) error) error {
	return c.under(ctx, op, func(hc *http.Client) error {
		lib := c.lib
		lib.HTTPClient = hc
		return fn(&lib)
	})
}

// under calls fn with an HTTP client bound to ctx and the timeout, and cleans its error.
func (c *Client) under(ctx context.Context, op string, fn func(*http.Client) error) error {
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > c.cfg.Timeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
	}
	err := fn(&http.Client{Transport: &roundTripper{ctx: ctx, op: op, client: c}})
	if err == nil {
		return nil
	}
	var answer *Error
	if errors.As(err, &answer) {
		return answer
	}
	// The other pooled connections may be as dead as this one (a resumed machine):
	// dialling anew is cheaper than a timeout for each.
	c.transport.CloseIdleConnections()
	return &networkError{op: op, err: withoutURL(ctx, err), secrets: c.secrets()}
}

// roundTripper makes http.Client and the library behave: see RoundTrip.
type roundTripper struct {
	ctx    context.Context
	op     string
	client *Client
}

// RoundTrip sends the request under the caller's context and reads the answer itself, at
// most 64 KiB of it. An answer other than 2xx, redirects included, becomes an *Error. Of a
// 2xx the body is replaced by {}: the event is out, whatever the body says, and the library
// would call a body that is not JSON an error.
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	start := t.client.cfg.Now()
	resp, err := t.client.transport.RoundTrip(req.WithContext(t.ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer := io.LimitReader(resp.Body, maxAnswer)
	// A body cut short changes nothing: the status is known.
	if resp.StatusCode/100 != 2 {
		body, _ := io.ReadAll(answer)
		return nil, t.client.answerError(t.op, resp, body, start)
	}
	_, _ = io.Copy(io.Discard, answer) // so that the connection can carry the next call
	resp.Body = io.NopCloser(strings.NewReader("{}"))
	resp.ContentLength = 2
	return resp, nil
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
