package wire

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// A failed connection is worded as its cause: messages had "dial tcp 10.0.0.1:443: connect:" and the address of the DNS server.
func TestConnectionErrorIsItsCause(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: err} }
	refused := dial(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	unknown := &net.DNSError{Err: "no such host", Name: "h.test", Server: "10.0.0.53:53", IsNotFound: true}
	for _, test := range []struct {
		err  error
		want string
	}{
		{refused, "h.test: connection refused"},
		{dial(unknown), "h.test: no such host"},
		{dial(&net.DNSError{Err: "server misbehaving", Name: "h.test", Server: "10.0.0.53:53"}), "h.test: DNS lookup: server misbehaving"},
		{&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "h.test: connection reset by peer"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: refused}, "h.test: connect to the proxy 10.0.0.1:443: connection refused"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: dial(unknown)}, "h.test: connect to the proxy 10.0.0.1:443: no such host"},
		{&net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("Forbidden")}, "h.test: connect to the proxy: Forbidden"},
		{explainTLS("h.test", tls.RecordHeaderError{RecordHeader: [5]byte{'H', 'T', 'T', 'P', '/'}}), "h.test sent an HTTP response to an HTTPS request"},
		{explainTLS("blobs.test", tls.RecordHeaderError{}), "h.test: blobs.test does not use TLS"},
	} {
		failed := &ConnectionError{Registry: "h.test", Host: "h.test", Method: "GET", URL: "https://h.test/v2/", Err: test.err}
		if got := failed.Error(); got != test.want || !errors.Is(failed, test.err) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
