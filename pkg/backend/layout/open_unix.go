//go:build unix

package layout

import "syscall"

// nonblock lets no open(2) wait for the other end of a named pipe.
const nonblock = syscall.O_NONBLOCK
