//go:build linux || darwin

package wire

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// maxUnsent bounds what the kernel takes of a body before it can send it, in bytes: all of that is lost when the
// connection breaks. What is on its way is not bounded by it, so that the rate stays.
const maxUnsent = 128 << 10

// limitUnsent is a net.Dialer's Control.
func limitUnsent(_, _ string, c syscall.RawConn) error {
	// A kernel that does not know the option loses more.
	return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent) })
}
