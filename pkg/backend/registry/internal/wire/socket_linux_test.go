package wire

import (
	"net"
	"testing"
	"time"
)

// The kernel buffered 4 MB of each body to a slow peer, and all of it was sent again when the connection broke.
func TestLittleIsUnsent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := dial(DefaultLimits(), nil, &proxies{}, nil)(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	_ = peer.(*net.TCPConn).SetReadBuffer(64 << 10)
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // the peer reads nothing, so Write blocks
	n, err := conn.Write(make([]byte, 8<<20))
	if err == nil || n > 1<<20 {
		t.Errorf("the kernel buffered %d bytes (%v), want little more than %d and the peer's buffer", n, err, maxUnsent)
	}
}
