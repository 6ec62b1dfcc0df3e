package lambdatest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"
)

// FunctionURL is the event that a Function URL makes of r.
func FunctionURL(tb testing.TB, r *http.Request) []byte {
	tb.Helper()
	ev := newEvent(tb, r)
	ev.RawPath = r.URL.EscapedPath()
	ev.RequestContext.DomainName = "abc123.lambda-url.eu-west-1.on.aws"
	ev.RequestContext.Stage = "$default"
	return ev.marshal(tb)
}

// APIGateway is the event that API Gateway v2 makes of r in payload format 2.0:
// the stage in front of the path unless it is "$default", the path decoded.
func APIGateway(tb testing.TB, r *http.Request, stage string) []byte {
	tb.Helper()
	ev := newEvent(tb, r)
	ev.RawPath = r.URL.Path
	if stage != "$default" {
		ev.RawPath = "/" + stage + r.URL.Path
	}
	ev.RequestContext.DomainName = "abc123.execute-api.eu-west-1.amazonaws.com"
	ev.RequestContext.Stage = stage
	return ev.marshal(tb)
}

type event struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  eventContext      `json:"requestContext"`
}

type eventContext struct {
	DomainName string      `json:"domainName"`
	Stage      string      `json:"stage"`
	RequestID  string      `json:"requestId"`
	HTTP       eventTarget `json:"http"`
}

type eventTarget struct {
	Method   string `json:"method"`
	Path     string `json:"path"`
	Protocol string `json:"protocol"`
	SourceIP string `json:"sourceIp"`
}

// newEvent fills in what both senders do alike: header names in lower case,
// repeated headers joined, cookies apart, a body that is not text in base64.
func newEvent(tb testing.TB, r *http.Request) *event {
	tb.Helper()
	ev := &event{
		Version: "2.0", RouteKey: "$default", RawQueryString: r.URL.RawQuery,
		Headers: map[string]string{"host": r.Host},
	}
	for name, values := range r.Header {
		if name == "Cookie" {
			ev.Cookies = strings.Split(strings.Join(values, "; "), "; ")
			continue
		}
		ev.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			tb.Fatal(err)
		}
		ev.Headers["content-length"] = fmt.Sprint(len(body))
		ev.Body, ev.IsBase64Encoded = string(body), !utf8.Valid(body)
		if ev.IsBase64Encoded {
			ev.Body = base64.StdEncoding.EncodeToString(body)
		}
	}
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = "203.0.113.7" // a request made for a client has no address yet
	}
	ev.RequestContext.HTTP = eventTarget{Method: r.Method, Protocol: "HTTP/1.1", SourceIP: ip}
	return ev
}

func (ev *event) marshal(tb testing.TB) []byte {
	tb.Helper()
	ev.RequestContext.HTTP.Path = ev.RawPath
	out, err := json.Marshal(ev)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// streamType marks a streamed answer: a JSON head, eight zero bytes, the body.
const streamType = "application/vnd.awslambda.http-integration-response"

// Response is the HTTP answer that the caller would get, be the result buffered
// or streamed. It is an error if the result is neither.
func (r *Result) Response() (*http.Response, error) {
	if r.Failed != nil {
		return nil, fmt.Errorf("function error %s: %s", r.Failed.Type, r.Failed.Message)
	}
	raw, body := r.Body, []byte(nil)
	if r.ContentType == streamType {
		var found bool
		if raw, body, found = bytes.Cut(r.Body, make([]byte, 8)); !found {
			return nil, errors.New("streamed answer without a head")
		}
	}
	var head struct {
		StatusCode      int
		Headers         map[string]string
		Cookies         []string
		Body            string
		IsBase64Encoded bool
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if r.ContentType != streamType {
		body = []byte(head.Body)
	}
	if head.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(head.Body)
		if err != nil {
			return nil, fmt.Errorf("answer's body: %w", err)
		}
		body = decoded
	}
	res := &http.Response{
		StatusCode: head.StatusCode, Header: http.Header{},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	for name, value := range head.Headers {
		res.Header.Set(name, value)
	}
	for _, cookie := range head.Cookies {
		res.Header.Add("Set-Cookie", cookie)
	}
	return res, nil
}
