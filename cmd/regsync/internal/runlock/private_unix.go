//go:build unix

package runlock

import (
	"io/fs"
	"os"
	"syscall"
)

// isPrivate reports whether a file is this user's, and closed to all others.
func isPrivate(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid() && info.Mode().Perm()&0o077 == 0
}
