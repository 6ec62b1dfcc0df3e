package pusher

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TerminateUser closes every connection that signed in as the user (AuthorizeUser); a
// connection that only subscribed to channels stays. pusher-js does not come back by itself
// after that. Nil also when the user has no connection.
// Errors: ErrUser, *Error, or the network's or the context's error.
func (c *Client) TerminateUser(ctx context.Context, userID string) error {
	const op = "terminate user"
	if err := checkUserID(userID); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	_, err := c.request(ctx, op, http.MethodPost, "/users/"+userID+"/terminate_connections", nil)
	return err
}

// CheckResult is what Check learned from an answer, good or bad.
type CheckResult struct {
	Answered  bool          // whether there was an HTTP answer at all
	RoundTrip time.Duration // of the whole call
	// Skew is Pusher's clock minus ours, to the second. Pusher answers 401 beyond 600 s.
	Skew      time.Duration
	SkewKnown bool
}

// Check asks Pusher for something that changes nothing and costs no message, to learn whether
// address, app and credentials are right. The result is of use also when there is an error:
// a 401 with a large Skew is a wrong clock, not a wrong secret.
func (c *Client) Check(ctx context.Context) (CheckResult, error) {
	// No channel has this prefix, so the answer is small however busy the app is.
	query := url.Values{"filter_by_prefix": {"presence-roomcast-check-"}}
	return c.request(ctx, "check", http.MethodGet, "/channels", query)
}

// request makes one signed request without a body, for what the library has no call.
func (c *Client) request(ctx context.Context, op, method, path string, query url.Values) (CheckResult, error) {
	var result CheckResult
	scheme := "http"
	if c.cfg.TLS {
		scheme = "https"
	}
	path = "/apps/" + c.cfg.AppID + path
	start := c.cfg.Now()
	target := url.URL{Scheme: scheme, Host: c.cfg.Host, Path: path,
		RawQuery: c.signedQuery(method, path, query, start).Encode()}
	err := c.under(ctx, op, func(ctx context.Context) error {
		req, err := http.NewRequest(method, target.String(), nil)
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := req.Write(&text); err != nil {
			return err
		}
		a, err := c.exchange(ctx, op, text.Bytes())
		if err != nil {
			return err
		}
		result.Answered = true
		result.Skew, result.SkewKnown = clockSkew(a.header, start, c.cfg.Now())
		return nil
	})
	result.RoundTrip = c.cfg.Now().Sub(start)
	if answer, ok := err.(*Error); ok {
		result.Answered = true
		result.Skew, result.SkewKnown = answer.Skew, answer.dated
	}
	return result, err
}

// signedQuery adds Pusher's authentication to query: HMAC-SHA256, in hex, of the method, the
// path and the sorted parameters, their values not escaped, on one line each. Only a request
// with a body carries a body_md5, and none made here has one
// (https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication).
func (c *Client) signedQuery(method, path string, query url.Values, at time.Time) url.Values {
	signed := url.Values{
		"auth_key":       {c.cfg.Key},
		"auth_timestamp": {strconv.FormatInt(at.Unix(), 10)},
		"auth_version":   {"1.0"},
	}
	for name, values := range query {
		signed[name] = values
	}
	text := method + "\n" + path + "\n" + unescaped(signed)
	signed.Set("auth_signature", string(c.signer.appendHex(nil, []byte(text))))
	return signed
}

// unescaped is url.Values.Encode without the escaping.
func unescaped(query url.Values) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if text.Len() > 0 {
			text.WriteByte('&')
		}
		text.WriteString(strings.ToLower(name) + "=" + query.Get(name))
	}
	return text.String()
}
