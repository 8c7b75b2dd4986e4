//go:build linux || darwin

package wire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxUnsent bounds how much of a body the kernel buffers before it can send it, in bytes: all of that is lost when
// the connection breaks. It does not bound the bytes in flight, so throughput stays the same.
const maxUnsent = 128 << 10

// limitUnsent is a net.Dialer's Control.
func limitUnsent(_, _ string, c syscall.RawConn) error {
	// A kernel without this option buffers, and loses, more.
	return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent) })
}
