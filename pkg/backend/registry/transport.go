package registry

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// stack is what every request of a registry passes through, from the top, below authorize.
func (h *host) stack() http.RoundTripper {
	var rt http.RoundTripper = h.route
	rt = &abort{rt}
	rt = &stall{h.client.limits, rt}
	rt = &replay{rt}
	rt = &observe{h, rt}
	rt = &report{h, rt}
	rt = &scheme{h, rt}
	rt = &linger{h.client.limits, rt}
	return &redirect{rt}
}

// newTransport speaks HTTP/1.1 on several connections: an HTTP/2 stream to a Go server is
// capped by the window of its one connection, 9.6 MB/s at 100 ms of round trip.
func newTransport(l limits, config HostConfig, secure *tls.Config, proxies *proxies, guarded bool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	idle := cmp.Or(config.MaxConnections, 3*64)
	return &http.Transport{
		Protocols:           &protocols,
		Proxy:               proxies.choose,
		DialContext:         dial(l, proxies, guarded),
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

// dial connects, where guarded not to the addresses that [checkIP] refuses, unless that is
// the user's own proxy.
func dial(l limits, proxies *proxies, guarded bool) func(context.Context, string, string) (net.Conn, error) {
	free := &net.Dialer{Timeout: l.dial, KeepAlive: 30 * time.Second}
	careful := *free
	careful.Control = checkDial
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if guarded && !proxies.chosen(address) {
			return careful.DialContext(ctx, network, address)
		}
		return free.DialContext(ctx, network, address)
	}
}
