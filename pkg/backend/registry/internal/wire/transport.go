package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
)

// maxHeader bounds the header of an answer, in bytes. Registries send less than 8 KiB.
const maxHeader = 256 << 10

// newTransport speaks HTTP/1.1 on several connections: an HTTP/2 stream to a Go server is
// capped by the window of its one connection, 9.6 MB/s at 100 ms of round trip.
func newTransport(h *Host, secure *tls.Config, proxies *proxies, guard dialGuard) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	limits, idle := h.options.Limits, cmp.Or(h.config.IdleConnections, 3*64)
	connect := h.options.Dial
	if connect == nil {
		connect = dial(limits, h.options.Resolver, proxies, guard)
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

// dialGuard is a net.Dialer's Control: it sees every address before it is connected to.
type dialGuard func(network, address string, c syscall.RawConn) error

// dial connects, but not to the addresses that guard refuses, unless that is the user's own
// proxy. resolver and guard may be nil.
func dial(l Limits, resolver *net.Resolver, proxies *proxies, guard dialGuard) func(context.Context, string, string) (net.Conn, error) {
	free := &net.Dialer{Timeout: l.Dial, KeepAlive: 30 * time.Second, Resolver: resolver, Control: limitUnsent}
	careful := *free
	careful.Control = func(network, address string, c syscall.RawConn) error {
		if err := guard(network, address, c); err != nil {
			return err
		}
		return limitUnsent(network, address, c)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if guard != nil && !proxies.chosen(address) {
			return careful.DialContext(ctx, network, address)
		}
		return free.DialContext(ctx, network, address)
	}
}

// checkDial is the [dialGuard] for hosts that a registry redirects to.
func checkDial(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return answer.CheckIP(to.Addr())
}
