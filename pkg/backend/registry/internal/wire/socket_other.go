//go:build !linux && !darwin

package wire

import "syscall"

// limitUnsent does nothing: there is no TCP_NOTSENT_LOWAT.
func limitUnsent(_, _ string, _ syscall.RawConn) error { return nil }
