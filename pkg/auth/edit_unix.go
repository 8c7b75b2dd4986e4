//go:build unix

package auth

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a new file the owner of the one it replaces, so that a login under sudo
// does not lock users out of their own file.
func keepOwner(old string, replacement *os.File) error {
	info, err := os.Stat(old)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return replacement.Chown(int(owner.Uid), int(owner.Gid))
}

// syncDir makes a rename in dir survive a power cut. Some file systems refuse to sync a
// directory; the rename has happened all the same.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
