package wire

import (
	"net"
	"testing"
	"time"
)

// The kernel took 4 MB of each body that a slow peer did not take, and all of it was sent again when the
// connection broke.
func TestLittleIsUnsent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := dial(DefaultLimits(), &proxies{}, nil)(t.Context(), "tcp", listener.Addr().String())
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
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // nothing is read: it blocks
	n, err := conn.Write(make([]byte, 8<<20))
	if err == nil || n > 1<<20 {
		t.Errorf("the kernel took %d bytes (%v), want little more than %d and what the peer takes", n, err, maxUnsent)
	}
}
