package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// privateDir holds what is ours: locks, and files that are being written.
const privateDir = ".regsync"

// create makes an empty layout; the file that says "this is a layout" comes last.
func (l *Layout) create() error {
	if err := l.checkStrangers(); err != nil {
		return err
	}
	if err := l.disk.MkdirAll(l.path); err != nil {
		return diskError(l.path, 0, err)
	}
	if resolved, err := filepath.EvalSymlinks(l.path); err == nil {
		l.path = resolved
	}
	return l.locked(context.Background(), func() error {
		if err := l.makeBlobsDir(digest.SHA256); err != nil {
			return err
		}
		if _, err := os.Stat(l.file(ocispec.ImageIndexFile)); errors.Is(err, fs.ErrNotExist) {
			if err := l.writeIndex(newIndex()); err != nil {
				return err
			}
		}
		version, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
		if err != nil {
			return err
		}
		return l.replace(ocispec.ImageLayoutFile, version)
	})
}

// makeBlobsDir makes the directory of an algorithm's blobs, durably, where there is none.
func (l *Layout) makeBlobsDir(algorithm digest.Algorithm) error {
	blobs := l.file(ocispec.ImageBlobsDir)
	dir := filepath.Join(blobs, algorithm.String())
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := l.disk.MkdirAll(dir); err != nil {
		return diskError(dir, 0, err)
	}
	return diskError(blobs, 0, errors.Join(l.disk.SyncDir(blobs), l.disk.SyncDir(l.path)))
}

// checkStrangers refuses to make a layout among other people's files.
func (l *Layout) checkStrangers() error {
	entries, err := os.ReadDir(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(l.path, 0, err)
	}
	for _, entry := range entries {
		switch entry.Name() {
		case privateDir, ocispec.ImageBlobsDir, ocispec.ImageIndexFile, ocispec.ImageLayoutFile, "lost+found":
		default:
			return fmt.Errorf("the directory is no image layout and not empty: it has %q", entry.Name())
		}
	}
	return nil
}

func checkVersion(raw []byte) error {
	var version ocispec.ImageLayout
	if err := json.Unmarshal(raw, &version); err != nil {
		return fmt.Errorf("%w: %w", content.ErrInvalid, err)
	}
	if version.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("layout version %q, want %q: %w", version.Version, ocispec.ImageLayoutVersion, content.ErrUnsupported)
	}
	return nil
}
