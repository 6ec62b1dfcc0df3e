package web_test

import (
	"net/http/httptest"
	"testing"

	"roomcast/shared/web"
)

// An address is believed where a proxy of ours writes it, and nowhere else.
func TestAddresses(t *testing.T) {
	const peer = "172.16.0.1:443"
	fly, direct, two := web.Addresses{Fly: true}, web.Addresses{}, web.Addresses{Proxies: 2}
	for _, tc := range []struct {
		name      string
		of        web.Addresses
		fly       string
		forwarded []string
		remote    string
		want      string
	}{
		{"Fly's header on Fly", fly, "203.0.113.7", nil, peer, "203.0.113.7"},
		{"Fly's header elsewhere", direct, "203.0.113.7", nil, peer, "172.16.0.1"},
		{"IPv6", fly, "2001:DB8::7", nil, peer, "2001:db8::7"},
		{"IPv4 as IPv6", fly, "::ffff:203.0.113.7", nil, "", "203.0.113.7"},
		{"no address", fly, "not an address", nil, peer, "172.16.0.1"},
		{"a peer of IPv6", fly, "", nil, "[2001:db8::7]:1", "2001:db8::7"},
		{"a peer without a port", direct, "", nil, "172.16.0.1", "172.16.0.1"},
		{"a socket", direct, "", nil, "@", ""},
		{"nothing", direct, "", nil, "", ""},
		{"X-Forwarded-For without proxies of ours", direct, "", []string{"203.0.113.7"}, peer, "172.16.0.1"},
		{"X-Forwarded-For on Fly", fly, "203.0.113.7", []string{"198.51.100.1"}, peer, "203.0.113.7"},
		{"two proxies", two, "", []string{"203.0.113.7, 198.51.100.1"}, peer, "203.0.113.7"},
		{"two proxies, the caller wrote one himself", two, "", []string{"192.0.2.9, 203.0.113.7, 198.51.100.1"}, peer, "203.0.113.7"},
		{"two proxies, in two lines", two, "", []string{"192.0.2.9", "203.0.113.7", "198.51.100.1"}, peer, "203.0.113.7"},
		{"past one of the two proxies", two, "", []string{"203.0.113.7"}, peer, "172.16.0.1"},
		{"past both", two, "203.0.113.7", nil, peer, "172.16.0.1"},
		{"with a port", web.Addresses{Proxies: 1}, "", []string{"203.0.113.7:5123"}, peer, "203.0.113.7"},
		{"two proxies and Fly's header", web.Addresses{Fly: true, Proxies: 2}, "198.51.100.1", []string{"203.0.113.7, 198.51.100.1"}, peer, "203.0.113.7"},
		{"no address in the list", two, "", []string{"unknown, 198.51.100.1"}, peer, "172.16.0.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tc.remote
		if tc.fly != "" {
			r.Header.Set("Fly-Client-IP", tc.fly)
		}
		r.Header["X-Forwarded-For"] = tc.forwarded
		if got := tc.of.Of(r); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestNetworkIsTheLineOfOneCaller(t *testing.T) {
	name := func(remote string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		return web.Addresses{}.Network(r)
	}
	if a, b := name("[2001:db8:1:2::1]:1"), name("[2001:db8:1:2:ffff::9]:1"); a != b {
		t.Errorf("one line is %q and %q", a, b)
	}
	if a, b := name("203.0.113.7:1"), name("203.0.113.8:1"); a == b {
		t.Errorf("two addresses are %q", a)
	}
}
