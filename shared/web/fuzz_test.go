package web_test

import (
	"net/http"
	"net/netip"
	"testing"

	"roomcast/shared/web"
)

// FuzzAddresses: whatever headers say, an address is one or empty, and who believes no
// header is told the connection's.
func FuzzAddresses(f *testing.F) {
	f.Add("203.0.113.7", "198.51.100.1, 203.0.113.7:80", "172.16.0.1:443", 2)
	f.Add("::ffff:1.2.3.4", "[::1]:1,fe80::1%eth0", "[2001:db8::7]:1", 1)
	f.Add("x", ",,,", "@", 3)
	f.Fuzz(func(t *testing.T, fly, forwarded, remote string, proxies int) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"Fly-Client-Ip": {fly}, "X-Forwarded-For": {forwarded}}}
		direct := web.Addresses{}.Of(&http.Request{RemoteAddr: remote})
		for _, of := range []web.Addresses{{}, {Fly: true}, {Proxies: max(0, proxies%12)}} {
			got := of.Of(r)
			if got != "" {
				if _, err := netip.ParseAddr(got); err != nil {
					t.Fatalf("%+v: %q", of, got)
				}
			}
			if of == (web.Addresses{}) && got != direct {
				t.Fatalf("a header is believed: %q, not %q", got, direct)
			}
			_ = of.Network(r)
		}
	})
}

// FuzzBearer: a token has no blanks, and comes from one header of the right scheme.
func FuzzBearer(f *testing.F) {
	f.Add("Bearer x", "")
	f.Add("bearer  x ", "Bearer y")
	f.Fuzz(func(t *testing.T, first, second string) {
		r := &http.Request{Header: http.Header{"Authorization": {first}}}
		if second != "" {
			r.Header.Add("Authorization", second)
		}
		token, ok := web.Bearer(r)
		if ok && (second != "" || token == "" || len(token)+len("Bearer ") > len(first)) {
			t.Fatalf("%q and %q: %q", first, second, token)
		}
	})
}
