package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Addresses knows where the address of a caller is written. Any caller can write any
// header: one is believed only where a proxy of ours is known to write it. The zero value
// believes the connection alone, which is right for a server that faces its callers, and
// on Lambda, where the event names the caller and [http.Request.RemoteAddr] is that name.
type Addresses struct {
	// Fly: this is a Fly machine, whose proxy replaces Fly-Client-IP on every request.
	Fly bool
	// Proxies is how many proxies stand in front, each of which adds the address it was
	// called from to the end of X-Forwarded-For. It goes before Fly: there it counts
	// Fly's own proxy and what stands before that.
	Proxies int
}

// Of is the caller's address, or "" if there is none to be had. It is for logs and
// fairness, never a credential.
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

// forwarded reads the n-th address from the end: the ones before it are whatever the
// caller wrote himself. A shorter list did not come through all the proxies.
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

// network is what one caller has for himself: an IPv4 address, or the /64 that an
// IPv6 line is given.
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

// Network is [Addresses.Of] with an IPv6 address cut to the /64 that its line was given:
// the name under which one caller's requests count together.
func (a Addresses) Network(r *http.Request) string {
	ip := a.Of(r)
	if prefix, ok := network(ip); ok {
		return prefix.String()
	}
	return ip
}
