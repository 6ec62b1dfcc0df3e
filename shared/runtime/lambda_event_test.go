package runtime

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "lambda", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSampleEventsBecomeRequests(t *testing.T) {
	for _, tc := range []struct {
		file, method, path, uri, host, remote string
		room, cookie, body                    string
	}{
		{
			file: "function-url-get.json", method: "GET",
			path: "/rooms/café/1/events", uri: "/rooms/caf%C3%A9%2F1/events?after=41&after=42&epoch=k%203f9",
			host: "abc123.lambda-url.eu-west-1.on.aws", remote: "203.0.113.7:0",
			room: "café/1", cookie: "theme=dark; session=a=b",
		},
		{
			file: "function-url-post.json", method: "POST",
			path: "/webhooks/supabase", uri: "/webhooks/supabase",
			host: "abc123.lambda-url.eu-west-1.on.aws", remote: "[2001:db8::7]:0",
			body: `{"type":"INSERT","record":{"content":"hé"}}`,
		},
		{
			file: "gateway-v2-post-base64.json", method: "POST",
			path: "/pusher/auth", uri: "/pusher/auth",
			host: "abc123.execute-api.eu-west-1.amazonaws.com", remote: "203.0.113.7:0",
			cookie: "theme=dark; session=abc", body: "socket_id=1234.1234&channel_name=private-room-42",
		},
		{
			file: "gateway-v2-stage.json", method: "GET",
			path: "/rooms/café? 100%/events", uri: "/rooms/caf%C3%A9%3F%20100%25/events?after=41&limit=10",
			host: "chat.example.com", remote: "203.0.113.7:0", room: "café? 100%",
		},
	} {
		t.Run(tc.file, func(t *testing.T) {
			ev, err := parseEvent(sample(t, tc.file))
			if err != nil {
				t.Fatal(err)
			}
			r, err := ev.request()
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			for what, pair := range map[string][2]string{
				"method": {r.Method, tc.method}, "path": {r.URL.Path, tc.path}, "uri": {r.RequestURI, tc.uri},
				"host": {r.Host, tc.host}, "remote": {r.RemoteAddr, tc.remote}, "proto": {r.Proto, "HTTP/1.1"},
				"cookie": {r.Header.Get("Cookie"), tc.cookie}, "body": {string(body), tc.body},
				"host header": {r.Header.Get("Host"), ""},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s = %q, want %q", what, pair[0], pair[1])
				}
			}
			if r.ContentLength != int64(len(tc.body)) {
				t.Errorf("ContentLength = %d, want %d", r.ContentLength, len(tc.body))
			}
			if tc.room != "" {
				if got := routedRoom(r); got != tc.room {
					t.Errorf("routed room = %q, want %q", got, tc.room)
				}
			}
		})
	}
}

// routedRoom is the room as the function's own kind of route would see it.
func routedRoom(r *http.Request) (room string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{room}/events", func(_ http.ResponseWriter, r *http.Request) {
		room = r.PathValue("room")
	})
	mux.ServeHTTP(newResponse("GET", io.Discard), r)
	return room
}

func TestOtherEventsAreRefused(t *testing.T) {
	for _, tc := range []struct{ name, event, shape string }{
		{"REST API", string(sample(t, "gateway-v1.json")), "payload format 1.0"},
		{"SQS", string(sample(t, "sqs.json")), "records"},
		{"schedule", `{"detail-type":"Scheduled Event","source":"aws.events"}`, "EventBridge"},
		{"console test", `{"key1":"value1"}`, "another kind"},
		{"empty", `{}`, "another kind"},
		{"null", `null`, "another kind"},
		{"text", `"hello"`, "no JSON object"},
		{"array", `[1]`, "no JSON object"},
		{"headers of a wrong type", `{"version":"2.0","rawPath":"/","headers":[1],"requestContext":{"http":{"method":"GET"}}}`, "unexpected types"},
		{"body of a wrong type", `{"version":"2.0","rawPath":"/","body":{},"requestContext":{"http":{"method":"GET"}}}`, "unexpected types"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := parseEvent([]byte(tc.event))
			var unsupported *UnsupportedEvent
			if !errors.As(err, &unsupported) || !strings.Contains(unsupported.Shape, tc.shape) {
				t.Fatalf("err = %v, want UnsupportedEvent with %q", err, tc.shape)
			}
			if strings.Contains(err.Error(), "private text") {
				t.Errorf("the error repeats the event's content: %v", err)
			}
		})
	}
}

// edit returns the plain GET event with one change.
func edit(t *testing.T, change func(ev *event)) event {
	t.Helper()
	ev, err := parseEvent(sample(t, "function-url-get.json"))
	if err != nil {
		t.Fatal(err)
	}
	change(&ev)
	return ev
}

func TestHostileEventsAreTheCallersFault(t *testing.T) {
	for name, change := range map[string]func(ev *event){
		"method with a blank":    func(ev *event) { ev.RequestContext.HTTP.Method = "GET /" },
		"method with a newline":  func(ev *event) { ev.RequestContext.HTTP.Method = "GET\r\nX: y" },
		"body not base64":        func(ev *event) { ev.Body, ev.IsBase64Encoded = "%%%", true },
		"body cut base64":        func(ev *event) { ev.Body, ev.IsBase64Encoded = "aGVsbG8", true },
		"path badly escaped":     func(ev *event) { ev.RawPath = "/rooms/%zz" },
		"path with control char": func(ev *event) { ev.RawPath = "/rooms/\x00" },
	} {
		t.Run(name, func(t *testing.T) {
			ev := edit(t, change)
			if _, err := ev.request(); err == nil {
				t.Fatal("accepted")
			}
		})
	}
}

func TestHeadersTheCallerMayNotSet(t *testing.T) {
	ev := edit(t, func(ev *event) {
		ev.Headers["fly-client-ip"] = "127.0.0.1"
		ev.Headers["transfer-encoding"] = "chunked"
		ev.Headers["cookie"] = "forged=1"
	})
	r, err := ev.request()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Fly-Client-IP"); got != "" {
		t.Errorf("Fly-Client-IP = %q", got)
	}
	if got := r.Header.Get("Transfer-Encoding"); got != "" {
		t.Errorf("Transfer-Encoding = %q", got)
	}
	if got := r.Header.Get("Cookie"); got != "theme=dark; session=a=b" {
		t.Errorf("Cookie = %q", got)
	}
}

func TestStageIsOnlyCutWhereItIsOne(t *testing.T) {
	for _, tc := range []struct{ stage, raw, want string }{
		{"prod", "/prod/healthz", "/healthz"},
		{"prod", "/prod", "/"},
		{"prod", "/production/x", "/production/x"},
		{"$default", "/$default/x", "/$default/x"},
		{"", "/x", "/x"},
		{"", "", "/"},
		{"", "x", "/x"},
		{"", "//evil.example/x", "//evil.example/x"},
	} {
		ev := edit(t, func(ev *event) { ev.RawPath, ev.RequestContext.Stage = tc.raw, tc.stage })
		r, err := ev.request()
		if err != nil {
			t.Errorf("%q: %v", tc.raw, err)
			continue
		}
		if r.URL.Path != tc.want || r.URL.Host != "" {
			t.Errorf("stage %q, %q: path %q, host %q, want path %q", tc.stage, tc.raw, r.URL.Path, r.URL.Host, tc.want)
		}
	}
}

func FuzzEvent(f *testing.F) {
	for _, name := range []string{
		"function-url-get.json", "function-url-post.json", "gateway-v2-post-base64.json",
		"gateway-v2-stage.json", "gateway-v1.json", "sqs.json",
	} {
		f.Add(sample(f, name))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ev, err := parseEvent(payload)
		if err != nil {
			return
		}
		r, err := ev.request()
		if err != nil {
			return
		}
		if r.URL.Path == "" || r.URL.Path[0] != '/' {
			t.Errorf("path %q of %s", r.URL.Path, payload)
		}
		if r.URL.Host != "" || r.Body == nil || r.ContentLength < 0 {
			t.Errorf("request %+v of %s", r, payload)
		}
		again, _ := json.Marshal(ev)
		if _, err := parseEvent(again); err != nil {
			t.Errorf("%s does not survive its own encoding: %v", payload, err)
		}
		http.NotFound(newResponse(r.Method, io.Discard), r)
	})
}
