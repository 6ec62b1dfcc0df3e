package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"roomcast/functions/revoke"
	"roomcast/shared/outbox/outboxtest"
)

// The most that the process may take, in bytes, and an authorization at its median, with
// as many connections of any kind on any route.
const (
	mostMemory  = 64 << 20
	mostLatency = 50 * time.Millisecond
	manyConns   = 500
)

const strangersRoom = "aaaaaaaa-0000-4000-8000-000000000001"

// route is a line of routes.go.
type route struct{ method, path string }

// everyRoute reads routes.go, so that none is forgotten here.
func everyRoute(t *testing.T) (all []route) {
	t.Helper()
	source, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`handle\("(GET|POST) (\S+)"`).FindAllStringSubmatch(string(source), -1) {
		all = append(all, route{m[1], strings.ReplaceAll(m[2], "{room}", strangersRoom)})
	}
	if len(all) < 11 {
		t.Fatalf("only %d routes found", len(all))
	}
	return append(all, route{"POST", "/no-such-route"})
}

// Nothing of a body is awaited, and so nothing kept, for who has shown nothing: on every
// route the answer comes before the body, and the connection is closed behind it.
func TestStrangersAreAnsweredUnread(t *testing.T) {
	push := newPusher(t)
	f := start(t, environment(push, "DATABASE_URL="+outboxtest.Chat(t)))
	for _, credential := range []string{
		"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer " + badToken + "\r\n", "Authorization: Basic d3Jvbmc6d3Jvbmc=\r\n",
		"X-Pusher-Key: " + push.Config().Key + "\r\nX-Pusher-Signature: short\r\n",
		"X-Pusher-Key: another\r\nX-Pusher-Signature: " + signature + "\r\n",
	} {
		for _, rt := range everyRoute(t) {
			conn := f.dial(t)
			fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", rt.method, rt.path, credential)
			_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			switch {
			case err != nil:
				t.Errorf("%s %s with %q waits for the body: %v", rt.method, rt.path, credential, err)
			case !answer.Close:
				t.Errorf("%s %s with %q: %d, and the connection is kept for the body", rt.method, rt.path, credential, answer.StatusCode)
			case rt.method == "POST" && answer.StatusCode < 400:
				t.Errorf("%s %s with %q: %d", rt.method, rt.path, credential, answer.StatusCode)
			}
			_ = conn.Close()
		}
	}
}

// Every route that reads for a user, or for the operator, answers within the budget, and a yes
// is forgotten before the second disconnect, also by machines that are not told of the first.
func TestRoutesHaveTheirBounds(t *testing.T) {
	source, err := os.ReadFile("routes.go")
	if err != nil {
		t.Fatal(err)
	}
	read := regexp.MustCompile(`(?m)^.*handle\("(?:GET \S+|POST /events|POST /pusher/auth/batch)".*\b(?:user|operator|listener)\b.*$`).FindAllString(string(source), -1)
	for _, line := range read {
		if !strings.Contains(line, ", answers)") {
			t.Errorf("no budget for the answers of%s", line)
		}
	}
	if len(read) < 6 {
		t.Errorf("only %d routes found", len(read))
	}
	if rememberFor >= revoke.Grace {
		t.Errorf("a yes is remembered for %v, the second disconnect comes after %v", rememberFor, revoke.Grace)
	}
}

// Limits by address mean nothing behind a proxy that is not named: the log says so, once.
func TestUnnamedProxyIsTold(t *testing.T) {
	t.Parallel()
	f := start(t, environment(newPusher(t), "DATABASE_URL="+outboxtest.Chat(t)))
	ask := func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.address+"/me/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		r.Header.Set("Authorization", "Bearer "+memberToken(t))
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	ask()
	ask()
	f.until(t, "the log names TRUSTED_PROXIES", func(map[string]*dto.MetricFamily) bool { return strings.Contains(f.logged(), "TRUSTED_PROXIES") })
	if n := strings.Count(f.logged(), "TRUSTED_PROXIES"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// What strangers, and users with bad intentions, can hold open: each sends this part and
// then nothing more, and reads nothing.
func parts(t *testing.T, key string) map[string]func(route) string {
	token, pad := memberToken(t), strings.Repeat("x", 18<<10)
	head := func(rt route, headers string, length int) string {
		return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", rt.method, rt.path, headers, length)
	}
	form := "Content-Type: application/x-www-form-urlencoded\r\n"
	crumbs := ""
	for i := range 3200 {
		crumbs += fmt.Sprintf("%x:\r\n", i)
	}
	return map[string]func(route) string{
		"silence": func(route) string { return "" },
		"half heads": func(rt route) string {
			return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nX-Pad: %s", rt.method, rt.path, pad)
		},
		"half heads, in crumbs": func(rt route) string {
			return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\n%s", rt.method, rt.path, crumbs)
		},
		"no credential, half a body": func(rt route) string {
			return head(rt, "", 1<<20) + pad
		},
		"a form of Pusher's, half a body": func(rt route) string {
			return head(rt, "X-Pusher-Key: "+key+"\r\nX-Pusher-Signature: "+signature+"\r\n", 256<<10) + strings.Repeat(pad, 13)
		},
		"a user's token, half a form": func(rt route) string {
			return head(rt, form+"Authorization: Bearer "+token+"\r\n", 4096) + pad[:4095]
		},
		"a user who reads no answers": func(rt route) string {
			return strings.Repeat(fmt.Sprintf("GET %s?limit=500 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", rt.path, token), 20)
		},
		"many pipelined requests": func(rt route) string {
			return strings.Repeat(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", rt.path), 40)
		},
	}
}

// A flood of any kind takes neither the process's memory nor its users' time.
func TestConnectionsOfAnyKindAreCheap(t *testing.T) {
	push, database := newPusher(t), outboxtest.Chat(t)
	f := start(t, environment(push, "DATABASE_URL="+database, "CLIENT_RATE=100000"))
	f.resident(t) // or skip at once
	hundred := `insert into messages (room_id, user_id, content) select '` + strangersRoom + `', gen_random_uuid(), repeat('x', 2000) from generate_series(1, 100);`
	if err := outboxtest.Exec(t.Context(), database, `insert into room_participants (room_id, user_id) values
		('`+strangersRoom+`', '11111111-0000-4000-8000-000000000001');`+strings.Repeat(hundred, 6)); err != nil {
		t.Fatal(err)
	}
	f.wakeUp(t)
	f.until(t, "the messages are sent", func(map[string]*dto.MetricFamily) bool { return len(push.Events()) >= 600 })
	routes := everyRoute(t)
	for name, part := range parts(t, push.Config().Key) {
		t.Run(name, func(t *testing.T) {
			for _, rt := range oneOfEach(name, routes) {
				f.flood(t, fmt.Sprintf("%s on %s %s", name, rt.method, rt.path), []byte(part(rt)))
			}
		})
	}
}

// oneOfEach leaves out the routes on which a kind of connection is like on another.
func oneOfEach(name string, routes []route) []route {
	switch name {
	case "silence", "half heads", "half heads, in crumbs": // nobody knows the route
		return routes[:1]
	case "a user who reads no answers", "many pipelined requests":
		return slices.DeleteFunc(slices.Clone(routes), func(rt route) bool { // the largest answers
			return !strings.HasSuffix(rt.path, "/events") && rt.path != "/roomcast.js" || rt.method == "POST"
		})
	}
	return slices.DeleteFunc(slices.Clone(routes), func(rt route) bool { return rt.method == "GET" })
}

// flood holds as many connections open, and measures what that costs. All send the same
// bytes, or the race detector would keep book of gigabytes. The machine may be busy with
// other tests: what takes too long must do so three times.
func (f *function) flood(t *testing.T, what string, part []byte) {
	t.Helper()
	var late error
	for range 3 {
		if late = f.floodOnce(t, what, part); late == nil {
			return
		}
		t.Log(late)
	}
	t.Error(late)
}

func (f *function) floodOnce(t *testing.T, what string, part []byte) (late error) {
	t.Helper()
	usual := f.authorizations(t, what, 10)
	conns := make([]net.Conn, manyConns)
	var sent sync.WaitGroup
	for i := range conns {
		conns[i] = f.dial(t)
		sent.Go(func() {
			_ = conns[i].SetWriteDeadline(time.Now().Add(2 * time.Second)) // who is not read on stops
			_, _ = conns[i].Write(part)
		})
	}
	took := f.authorizations(t, what, 40)
	sent.Wait()
	memory := f.resident(t)
	if memory > mostMemory {
		t.Errorf("%s: %.1f MB, more than %d MB", what, float64(memory)/(1<<20), mostMemory>>20)
	}
	t.Logf("%s: %.1f MB, an authorization %v at the median, %v at most", what, float64(memory)/(1<<20), took[len(took)/2], took[len(took)-1])
	for _, c := range conns {
		_ = c.Close()
	}
	if most := mostLatency + 10*usual[len(usual)/2]; took[len(took)/2] > most {
		return fmt.Errorf("%s: an authorization takes %v, more than %v", what, took[len(took)/2], most)
	}
	return nil
}

// authorizations are how long so many take, one behind the other, sorted.
func (f *function) authorizations(t *testing.T, what string, n int) (took []time.Duration) {
	t.Helper()
	for range n {
		began := time.Now()
		if status := f.authorize(t); status != http.StatusOK {
			t.Fatalf("%s: an authorization is answered %d", what, status)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// elsewhere is a client of another address: all of 127 is loopback.
var elsewhere = &http.Client{Transport: &http.Transport{
	DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
}}

// authorize asks as a user of another address does.
func (f *function) authorize(t *testing.T) (status int) {
	t.Helper()
	form := url.Values{"socket_id": {"1.1"}, "channel_name": {"private-room-" + strangersRoom}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.address+"/pusher/auth", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+memberToken(t))
	answer, err := elsewhere.Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

func (f *function) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// resident is the process's memory in bytes, as the system counts it.
func (f *function) resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.pid))
	if os.IsNotExist(err) {
		t.Skip("no /proc here")
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if err != nil || m == nil {
		t.Fatalf("%v: %s", err, status)
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}
