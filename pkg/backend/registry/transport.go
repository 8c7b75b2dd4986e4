package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// stack is what every request of a registry passes through, from the top, below authorize. allow
// checks where a redirect leads, besides what [follow] refuses; it may be nil.
func (h *host) stack(rt http.RoundTripper, allow func(*url.URL) error) http.RoundTripper {
	rt = &abort{rt}
	rt = &stall{h.client.limits, rt}
	rt = &replay{rt}
	rt = &observe{h, rt}
	rt = &report{h, rt}
	rt = &scheme{h, rt}
	rt = &linger{h.client.limits, rt}
	return &redirect{rt, allow}
}

// newTransport speaks HTTP/1.1 on several connections: an HTTP/2 stream to a Go server is
// capped by the window of its one connection, 9.6 MB/s at 100 ms of round trip.
func newTransport(l limits, config HostConfig, secure *tls.Config, proxies *proxies, guard dialGuard) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	idle := cmp.Or(config.MaxConnections, 3*64)
	return &http.Transport{
		Protocols:           &protocols,
		Proxy:               proxies.choose,
		DialContext:         dial(l, proxies, guard),
		TLSClientConfig:     secure,
		TLSHandshakeTimeout: l.handshake,
		IdleConnTimeout:     l.idle,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: idle,
		DisableCompression:  true, // digests are of the bytes as they are kept
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
}

// dialGuard is a net.Dialer's Control: it sees every address before it is connected to.
type dialGuard func(network, address string, c syscall.RawConn) error

// dial connects, but not to the addresses that guard refuses, unless that is the user's own
// proxy. guard may be nil.
func dial(l limits, proxies *proxies, guard dialGuard) func(context.Context, string, string) (net.Conn, error) {
	free := &net.Dialer{Timeout: l.dial, KeepAlive: 30 * time.Second}
	careful := *free
	careful.Control = guard
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if guard != nil && !proxies.chosen(address) {
			return careful.DialContext(ctx, network, address)
		}
		return free.DialContext(ctx, network, address)
	}
}
