package pusher

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// proxied goes through the HTTP proxy that the environment names, with net/http's transport:
// proxies are found on developers' machines and in companies, not where speed counts.
type proxied struct {
	scheme    string
	transport *http.Transport
}

// newWire chooses how to reach the address.
func newWire(address string, useTLS bool, conns int) wire {
	scheme := map[bool]string{true: "https", false: "http"}[useTLS]
	target := &http.Request{URL: &url.URL{Scheme: scheme, Host: address}}
	if proxy, err := http.ProxyFromEnvironment(target); proxy == nil && err == nil {
		return newDirect(address, useTLS, conns)
	}
	return newProxied(scheme, http.ProxyFromEnvironment, conns)
}

func newProxied(scheme string, proxy func(*http.Request) (*url.URL, error), conns int) *proxied {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &proxied{scheme, &http.Transport{
		Proxy:                  proxy,
		DialContext:            (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		Protocols:              &protocols,
		MaxConnsPerHost:        conns,
		MaxIdleConnsPerHost:    conns,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxAnswer,
		DisableCompression:     true, // answers are {} or a line, and what is unpacked would have to be bounded, too
	}}
}

func (p *proxied) exchange(ctx context.Context, request []byte) (answer, error) {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		return answer{}, err
	}
	req.URL.Scheme, req.URL.Host, req.RequestURI = p.scheme, req.Host, ""
	resp, err := p.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // cut short or not, the status is known
	return answer{resp.StatusCode, resp.Header, body}, nil
}

func (p *proxied) closeIdle() { p.transport.CloseIdleConnections() }
