package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/regsync/regsync/pkg/content"
)

// maxHeader bounds the header of an answer, in bytes. Registries send less than 8 KiB.
const maxHeader = 256 << 10

// newTransport uses HTTP/1.1 on several connections: the window of the one connection of HTTP/2 limits a stream to a Go
// server to 9.6 MB/s at 100 ms of round trip.
func newTransport(h *Host, secure *tls.Config, proxies *proxies, check func(netip.Addr) error) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	limits, idle := h.options.Limits, cmp.Or(h.config.IdleConnections, 3*64)
	connect := h.options.Dial
	if connect == nil {
		connect = dial(limits, h.options.Resolver, proxies, check)
	}
	return &http.Transport{
		Protocols:           &protocols,
		Proxy:               proxies.choose,
		DialContext:         connect,
		TLSClientConfig:     secure,
		TLSHandshakeTimeout: limits.Handshake,
		IdleConnTimeout:     limits.Idle,
		MaxIdleConns:        idle, // answers can name any number of hosts
		MaxIdleConnsPerHost: idle,
		DisableCompression:  true, // digests are of the bytes as they are kept
		WriteBufferSize:     8 << 10,
		ReadBufferSize:      8 << 10, // bodies bypass it, 32 KiB at a time

		MaxResponseHeaderBytes: maxHeader,
	}
}

// dial returns a function that connects, but not to the addresses that check refuses, unless that is the user's own
// proxy. Every address that a name resolves to is checked. resolver and check may be nil.
func dial(
	l Limits, resolver *net.Resolver, proxies *proxies, check func(netip.Addr) error,
) func(ctx context.Context, network, address string) (net.Conn, error) {
	free := &net.Dialer{Timeout: l.Dial, KeepAlive: 30 * time.Second, Resolver: resolver, Control: limitUnsent}
	careful := *free
	careful.Control = func(network, address string, c syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err == nil {
			err = check(to.Addr())
		}
		if err != nil {
			return err
		}
		return limitUnsent(network, address, c)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if check != nil && !proxies.chosen(address) {
			return careful.DialContext(ctx, network, address)
		}
		return free.DialContext(ctx, network, address)
	}
}

// proxies choose the proxy for a host, and remember the chosen ones: their addresses come from the user, not from a
// registry.
type proxies struct {
	proxy func(*http.Request) (*url.URL, error)

	mu    sync.Mutex
	known map[string]bool // host:port
}

// newProxies parses the setting of a registry; see [Config]. Errors do not quote it: it may contain a password.
func newProxies(setting string) (*proxies, error) {
	p := &proxies{known: map[string]bool{}}
	switch setting {
	case "":
		p.proxy = http.ProxyFromEnvironment
		return p, nil
	case "direct":
		p.proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
		return p, nil
	}
	u, err := url.Parse(setting)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, fmt.Errorf("proxy: %w: want direct, or an http, https or socks5 URL", content.ErrInvalid)
	}
	p.proxy = http.ProxyURL(u)
	return p, nil
}

func (p *proxies) choose(req *http.Request) (*url.URL, error) {
	u, err := p.proxy(req)
	if err != nil { // its text quotes the setting, which may contain a password
		return nil, fmt.Errorf("proxy: %w: the environment has an invalid proxy URL for %s", content.ErrInvalid, req.URL.Scheme)
	}
	if u != nil {
		p.mu.Lock()
		p.known[proxyAddress(u)] = true
		p.mu.Unlock()
	}
	return u, nil
}

// chosen reports whether address, host:port before its resolution, is that of a proxy.
func (p *proxies) chosen(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[strings.ToLower(address)]
}

// proxyAddress returns the host:port that net/http dials for a proxy.
func proxyAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), cmp.Or(port, "1080")) // socks5 and socks5h
}
