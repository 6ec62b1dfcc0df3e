package runtime

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// event is an HTTP request in payload format 2.0, as Function URLs and API
// Gateway v2 ("HTTP API") send it. Only what is used is read: a change in a
// corner we never look at must not fail a request.
type event struct {
	Version         string            `json:"version"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies"`
	Headers         map[string]string `json:"headers"` // repeated ones already joined by commas
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		DomainName string `json:"domainName"`
		Stage      string `json:"stage"`
		HTTP       struct {
			Method   string `json:"method"`
			Protocol string `json:"protocol"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// UnsupportedEvent reports an event that is no HTTP request this package can
// serve: a trigger of another kind, or API Gateway with payload format 1.0. It
// says of what shape the event was and repeats nothing of its content.
type UnsupportedEvent struct {
	Shape string
}

func (e *UnsupportedEvent) Error() string {
	return "unsupported event: want an HTTP request in payload format 2.0 " +
		"(Function URL, or API Gateway HTTP API), got " + e.Shape
}

// parseEvent reads an event, or returns an *UnsupportedEvent.
func parseEvent(payload []byte) (event, error) {
	var ev event
	if err := json.Unmarshal(payload, &ev); err != nil {
		return event{}, &UnsupportedEvent{Shape: shape(payload)}
	}
	if ev.RequestContext.HTTP.Method == "" || ev.Version != "2.0" {
		return event{}, &UnsupportedEvent{Shape: shape(payload)}
	}
	return ev, nil
}

// shape names what an event looks like, for the operator who attached the wrong trigger.
func shape(payload []byte) string {
	var keys map[string]json.RawMessage
	if json.Unmarshal(payload, &keys) != nil {
		return "something that is no JSON object"
	}
	has := func(key string) bool { _, ok := keys[key]; return ok }
	switch {
	case has("httpMethod"):
		return "payload format 1.0 (REST API, ALB, or an HTTP API set to 1.0)"
	case has("Records"):
		return "records (SQS, SNS, S3, a stream)"
	case has("detail-type"):
		return "an EventBridge event"
	case has("rawPath"):
		return "fields of unexpected types"
	default:
		return "an event of another kind"
	}
}

// functionURL tells a Function URL (<id>.lambda-url.<region>.on.aws, no custom
// domains) from API Gateway.
func (ev event) functionURL() bool {
	return strings.Contains(ev.RequestContext.DomainName, ".lambda-url.")
}

// request is the event as net/http's server would have delivered it. Its errors
// are the caller's fault.
func (ev event) request() (*http.Request, error) {
	body := []byte(ev.Body)
	if ev.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(ev.Body)
		if err != nil {
			return nil, fmt.Errorf("body: not base64")
		}
		body = decoded
	}
	call := ev.RequestContext.HTTP
	r, err := http.NewRequest(call.Method, "/", bytes.NewReader(body)) // sets ContentLength
	if err != nil {
		return nil, fmt.Errorf("method: not a token")
	}
	if r.URL, err = ev.url(); err != nil {
		return nil, err
	}
	r.RequestURI = r.URL.RequestURI()
	r.GetBody = nil // for clients only
	if major, minor, ok := http.ParseHTTPVersion(call.Protocol); ok {
		r.Proto, r.ProtoMajor, r.ProtoMinor = call.Protocol, major, minor
	}
	if call.SourceIP != "" {
		r.RemoteAddr = net.JoinHostPort(call.SourceIP, "0") // a server's has a port
	}
	ev.setHeaders(r)
	return r, nil
}

func (ev event) setHeaders(r *http.Request) {
	for name, value := range ev.Headers {
		r.Header.Set(name, value)
	}
	r.Host = r.Header.Get("Host")
	if r.Host == "" {
		r.Host = ev.RequestContext.DomainName
	}
	r.Header.Del("Host")              // as net/http's server does
	r.Header.Del("Transfer-Encoding") // undone: the body is here, whole
	r.Header.Del("Fly-Client-IP")     // Fly's proxy is not in front, so the caller made it up
	if len(ev.Cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(ev.Cookies, "; "))
	}
}

// url undoes what the two senders do to paths.
//
// API Gateway puts a named stage in front, behind a custom domain too
// (serverless-express issue 465), and it sends the path decoded, where a
// Function URL sends it as it was (hono issue 2156). So on API Gateway a room id
// with a slash cannot be told from two path segments: it is not found there.
func (ev event) url() (*url.URL, error) {
	path := ev.RawPath
	if stage := ev.RequestContext.Stage; stage != "" && stage != "$default" {
		rest, found := strings.CutPrefix(path, "/"+stage)
		if found && (rest == "" || rest[0] == '/') {
			path = rest
		}
	}
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	u := &url.URL{Path: path}
	if ev.functionURL() {
		parsed, err := url.ParseRequestURI(path)
		if err != nil {
			return nil, fmt.Errorf("path: not percent-encoded")
		}
		u = parsed
	}
	u.RawQuery = ev.RawQueryString
	return u, nil
}
