package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"roomcast/shared/web"
)

func TestBearer(t *testing.T) {
	for _, tc := range []struct {
		headers []string
		want    string
	}{
		{[]string{"Bearer abc.def"}, "abc.def"},
		{[]string{"bearer  abc "}, "abc"},
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"Bearer"}, ""},
		{[]string{"Bearer "}, ""},
		{[]string{"Bearer a b"}, ""},
		{[]string{"Bearer a\tb"}, ""},
		{[]string{"Basic abc"}, ""},
		{[]string{"Bearerabc"}, ""},
		{[]string{"Bearer a", "Bearer b"}, ""},
	} {
		r := &http.Request{Header: http.Header{"Authorization": tc.headers}}
		got, ok := web.Bearer(r)
		if got != tc.want || ok != (tc.want != "") {
			t.Errorf("%q: %q, %v, want %q", tc.headers, got, ok, tc.want)
		}
	}
}

func TestSecretIn(t *testing.T) {
	for _, tc := range []struct {
		candidate string
		accepted  []string
		want      bool
	}{
		{"new", []string{"new", "old"}, true},
		{"old", []string{"new", "old"}, true},
		{"same", []string{"same", "same"}, true},
		{"ne", []string{"new"}, false},
		{"newer", []string{"new"}, false},
		{"new,old", []string{"new", "old"}, false},
		{"new", nil, false},
		{"", nil, false},
		{"", []string{""}, false},
		{"", []string{"new", ""}, false},
	} {
		if got := web.SecretIn(tc.candidate, tc.accepted); got != tc.want {
			t.Errorf("%q in %q: %v", tc.candidate, tc.accepted, got)
		}
	}
}

func TestClientIP(t *testing.T) {
	for _, tc := range []struct{ fly, remote, want string }{
		{"203.0.113.7", "172.16.0.1:443", "203.0.113.7"},
		{"2001:DB8::7", "172.16.0.1:443", "2001:db8::7"},
		{"::ffff:203.0.113.7", "", "203.0.113.7"},
		{"not an address", "172.16.0.1:443", "172.16.0.1"},
		{"", "[2001:db8::7]:1", "2001:db8::7"},
		{"", "172.16.0.1", "172.16.0.1"},
		{"", "@", ""},
		{"", "", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tc.remote
		if tc.fly != "" {
			r.Header.Set("Fly-Client-IP", tc.fly)
		}
		if got := web.ClientIP(r); got != tc.want {
			t.Errorf("%+v: got %q", tc, got)
		}
	}
}
