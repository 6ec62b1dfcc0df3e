package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Addresses says where to find the address of a client. A client can send any header, so
// one is trusted only if a known proxy sets it. The zero value uses the connection's
// address: right for a server without a proxy, and on Lambda, where the event's sourceIp
// becomes [http.Request.RemoteAddr].
type Addresses struct {
	// Fly: this is a Fly machine; its proxy sets Fly-Client-IP on every request.
	Fly bool
	// Proxies is the number of trusted proxies in front, each of which appends its
	// client's address to X-Forwarded-For. It takes precedence over Fly: on Fly it counts
	// Fly's proxy too.
	Proxies int
}

// Of is the client's address, or "" if unknown. It is for limits, never a credential.
func (a Addresses) Of(r *http.Request) string {
	switch {
	case a.Proxies > 0:
		if ip, ok := forwarded(r.Header.Values("X-Forwarded-For"), a.Proxies); ok {
			return ip
		}
	case a.Fly:
		if ip, err := netip.ParseAddr(r.Header.Get("Fly-Client-IP")); err == nil {
			return ip.Unmap().String()
		}
	}
	return peer(r)
}

// forwarded reads the n-th address from the end: those before it were sent by the client.
// A shorter list did not pass through all the proxies.
func forwarded(lines []string, n int) (string, bool) {
	list := strings.Split(strings.Join(lines, ","), ",")
	if len(list) < n {
		return "", false
	}
	entry := strings.TrimSpace(list[len(list)-n])
	if with, err := netip.ParseAddrPort(entry); err == nil { // Azure's proxies add the port
		return with.Addr().Unmap().String(), true
	}
	ip, err := netip.ParseAddr(entry)
	return ip.Unmap().String(), err == nil
}

// peer is the other end of the connection.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return ip.Unmap().String()
}

// network is what one client controls: an IPv4 address, or an IPv6 /64.
func network(ip string) (netip.Prefix, bool) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Prefix{}, false
	}
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits) // drops an IPv6 zone
	return prefix, err == nil
}

// Network is [Addresses.Of] with IPv6 addresses reduced to their /64: the key under which
// a client's requests are counted.
func (a Addresses) Network(r *http.Request) string {
	ip := a.Of(r)
	if prefix, ok := network(ip); ok {
		return prefix.String()
	}
	return ip
}
