package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/regsync/regsync/pkg/content"
)

// CheckWrite finds out whether the layout in the directory path could be written to or, where
// there is none, made; and leaves nothing there.
func CheckWrite(path string) error {
	l, err := at(path, realDisk{})
	if err != nil {
		return err
	}
	if err = l.check(); errors.Is(err, content.ErrNotFound) {
		err = l.checkStrangers()
	}
	if err != nil {
		return err
	}
	dir, err := nearest(l.path)
	if err != nil {
		return diskError(l.path, 0, err)
	}
	// Only the attempt tells: rights, mounts and quotas have their say in it.
	probe, err := os.MkdirTemp(dir, ".regsync-check-")
	if err != nil {
		return diskError(dir, 0, err)
	}
	return diskError(dir, 0, os.Remove(probe))
}

// nearest is the innermost directory of a path that is there.
func nearest(path string) (string, error) {
	for {
		info, err := os.Stat(path)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s: %w", path, syscall.ENOTDIR)
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path):
			return "", err
		}
		path = filepath.Dir(path)
	}
}
