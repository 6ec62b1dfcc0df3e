package web_test

import (
	"net/http"
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
