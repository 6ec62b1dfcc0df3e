package pushertest

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// request is one to the HTTP API, signed unless a test breaks it.
type request struct {
	method, path, body string
	query              url.Values
}

// signedFor completes and signs the query, by the book and apart from what it shall test.
func (r request) signedFor(s *Server, at time.Time) url.Values {
	query := url.Values{"auth_key": {s.opts.Key}, "auth_version": {"1.0"}, "auth_timestamp": {fmt.Sprint(at.Unix())}}
	for k, v := range r.query {
		query[k] = v
	}
	if r.body != "" {
		sum := md5.Sum([]byte(r.body))
		query.Set("body_md5", hex.EncodeToString(sum[:]))
	}
	var pairs []string
	for k := range query {
		pairs = append(pairs, k+"="+query.Get(k))
	}
	slices.Sort(pairs)
	query.Set("auth_signature", s.sign([]byte(r.method+"\n"+r.path+"\n"+strings.Join(pairs, "&"))))
	return query
}

func (r request) send(t *testing.T, s *Server, query url.Values) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), r.method, "http://"+s.Addr()+r.path+"?"+query.Encode(), strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func publishRequest(s *Server, body string) request {
	return request{method: "POST", path: "/apps/" + s.opts.AppID + "/events", body: body}
}

// Pusher's own published signatures, and those checked by hand, open the door; changed in
// any way they do not.
func TestPublishedSignatures(t *testing.T) {
	raw, err := os.ReadFile("../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		AppID, Key, Secret string
		App                string `json:"app_id"`
		Timestamp          int64
		Requests           []struct {
			Name, Method, Path, Body, Signature string
			Query                               map[string]string
			BodyMD5                             string `json:"body_md5"`
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil || len(v.Requests) != 4 {
		t.Fatal(err, len(v.Requests))
	}
	s := start(t, Options{AppID: v.App, Key: v.Key, Secret: v.Secret, Clock: func() time.Time { return time.Unix(v.Timestamp+600, 0) }})
	for _, r := range v.Requests {
		query := url.Values{"auth_key": {v.Key}, "auth_timestamp": {fmt.Sprint(v.Timestamp)}, "auth_version": {"1.0"},
			"auth_signature": {r.Signature}}
		for k, value := range r.Query {
			query.Set(k, value)
		}
		if r.BodyMD5 != "" {
			query.Set("body_md5", r.BodyMD5)
		}
		req := request{method: r.Method, path: r.Path, body: r.Body}
		if status, body := req.send(t, s, query); status != 200 {
			t.Errorf("%s: %d %s", r.Name, status, body)
		}
		query.Set("auth_signature", strings.Repeat("0", 64))
		if status, _ := req.send(t, s, query); status != 401 {
			t.Errorf("%s with another signature: %d", r.Name, status)
		}
	}
}

func TestAuthentication(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := start(t, Options{Clock: func() time.Time { return now }})
	body := `{"name":"n","channel":"c","data":"d"}`
	for name, tc := range map[string]struct {
		at     time.Time
		change func(url.Values)
		status int
	}{
		"good":               {now, func(url.Values) {}, 200},
		"600 s old":          {now.Add(-600 * time.Second), func(url.Values) {}, 200},
		"601 s old":          {now.Add(-601 * time.Second), func(url.Values) {}, 401},
		"601 s ahead":        {now.Add(601 * time.Second), func(url.Values) {}, 401},
		"no timestamp":       {now, func(q url.Values) { q.Del("auth_timestamp") }, 401},
		"another key":        {now, func(q url.Values) { q.Set("auth_key", "x") }, 401},
		"another version":    {now, func(q url.Values) { q.Set("auth_version", "2.0") }, 401},
		"another body":       {now, func(q url.Values) { q.Set("body_md5", strings.Repeat("0", 32)) }, 401},
		"no body_md5":        {now, func(q url.Values) { q.Del("body_md5") }, 401},
		"a parameter more":   {now, func(q url.Values) { q.Set("info", "user_count") }, 401},
		"no signature":       {now, func(q url.Values) { q.Del("auth_signature") }, 401},
		"signature too long": {now, func(q url.Values) { q.Set("auth_signature", q.Get("auth_signature")+"0") }, 401},
	} {
		before := s.Stats().Events
		r := publishRequest(s, body)
		query := r.signedFor(s, tc.at)
		tc.change(query)
		status, answer := r.send(t, s, query)
		if status != tc.status || (s.Stats().Events > before) != (status == 200) {
			t.Errorf("%s: %d %s, want %d", name, status, answer, tc.status)
		}
		if strings.Contains(answer, s.opts.Secret) {
			t.Errorf("%s: the answer shows the secret", name)
		}
	}
	other := request{method: "POST", path: "/apps/999/events", body: body}
	if status, _ := other.send(t, s, other.signedFor(s, now)); status != 404 {
		t.Errorf("another app: %d", status)
	}
}

func TestLimits(t *testing.T) {
	s := start(t, Options{})
	text := func(n int) string { return strings.Repeat("x", n) }
	channels := func(n int) string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf(`"c%d"`, i))
		}
		return "[" + strings.Join(names, ",") + "]"
	}
	batch := func(n int) string {
		return `{"batch":[` + strings.TrimSuffix(strings.Repeat(`{"channel":"c","name":"n","data":"d"},`, n), ",") + `]}`
	}
	for name, tc := range map[string]struct {
		path, body string
		status     int
		events     int
	}{
		"one channel":          {"events", `{"name":"n","channel":"c","data":"d"}`, 200, 1},
		"100 channels":         {"events", `{"name":"n","channels":` + channels(100) + `,"data":"d"}`, 200, 100},
		"101 channels":         {"events", `{"name":"n","channels":` + channels(101) + `,"data":"d"}`, 400, 0},
		"no channel":           {"events", `{"name":"n","channels":[],"data":"d"}`, 400, 0},
		"data of 10 kB":        {"events", `{"name":"n","channel":"c","data":"` + text(10240) + `"}`, 200, 1},
		"data too large":       {"events", `{"name":"n","channel":"c","data":"` + text(10241) + `"}`, 413, 0},
		"data not a string":    {"events", `{"name":"n","channel":"c","data":{}}`, 400, 0},
		"channel of 164":       {"events", `{"name":"n","channel":"` + text(164) + `","data":"d"}`, 200, 1},
		"channel of 165":       {"events", `{"name":"n","channel":"` + text(165) + `","data":"d"}`, 400, 0},
		"channel with a space": {"events", `{"name":"n","channel":"a b","data":"d"}`, 400, 0},
		"a user's channel":     {"events", `{"name":"n","channel":"#server-to-user-1","data":"d"}`, 200, 1},
		"nobody's channel":     {"events", `{"name":"n","channel":"#server-to-user-","data":"d"}`, 400, 0},
		"name of 200":          {"events", `{"name":"` + text(200) + `","channel":"c","data":"d"}`, 200, 1},
		"name of 201":          {"events", `{"name":"` + text(201) + `","channel":"c","data":"d"}`, 400, 0},
		"no name":              {"events", `{"channel":"c","data":"d"}`, 400, 0},
		"reserved name":        {"events", `{"name":"pusher:x","channel":"c","data":"d"}`, 400, 0},
		"socket id":            {"events", `{"name":"n","channel":"c","data":"d","socket_id":"x"}`, 400, 0},
		"two encrypted":        {"events", `{"name":"n","channels":["private-encrypted-a","private-encrypted-b"],"data":"d"}`, 400, 0},
		"not JSON":             {"events", `{`, 400, 0},
		"2 MB":                 {"events", text(2 << 20), 413, 0},
		"batch of 10":          {"batch_events", batch(10), 200, 10},
		"batch of 11":          {"batch_events", batch(11), 400, 0},
		"empty batch":          {"batch_events", batch(0), 400, 0},
		"one bad of two":       {"batch_events", `{"batch":[{"channel":"c","name":"n","data":"d"},{"channel":" ","name":"n","data":"d"}]}`, 400, 0},
	} {
		before := s.Stats().Events
		r := request{method: "POST", path: "/apps/" + s.opts.AppID + "/" + tc.path, body: tc.body}
		status, answer := r.send(t, s, r.signedFor(s, time.Now()))
		if status != tc.status || s.Stats().Events-before != tc.events {
			t.Errorf("%s: %d %s and %d events; want %d and %d", name, status, answer, s.Stats().Events-before, tc.status, tc.events)
		}
	}
}

func TestInfoOfPublishedChannels(t *testing.T) {
	s := start(t, Options{})
	r := publishRequest(s, `{"name":"n","channels":["c","presence-c"],"data":"d","info":"user_count,subscription_count"}`)
	status, answer := r.send(t, s, r.signedFor(s, time.Now()))
	if want := `{"channels":{"c":{"subscription_count":0},"presence-c":{"user_count":0,"subscription_count":0}}}`; status != 200 || answer != want {
		t.Errorf("%d %s, want %s", status, answer, want)
	}
}
