// Package layout is the OCI image layout: a directory that holds images, as skopeo, crane
// and containerd read and write it (OCI image specification, "image-layout.md").
//
// Start at [Open] and [OpenOrCreate]. A [Layout] has every optional ability of package
// content but mounting, which a place without repositories has no use for.
//
// Several processes may write to one layout at once, and none loses another's tag. What
// is visible is complete: a blob gets its name only after its bytes were checked and
// synced, and index.json is replaced as a whole. So a kill leaves nothing but files in
// the directory .regsync, which other tools ignore and the next writer clears away.
package layout

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Layout is one image layout. Open a directory once and share the value: it remembers
// which blobs it has checked. All methods may be called concurrently.
type Layout struct {
	path string
	disk disk

	editing chan struct{} // full while this process edits index.json
	writing writing
	blobs   checkedBlobs
	graph   graph
	lists   ownLists
	pushed  pushedManifests
	cached  indexCache
}

var (
	_ content.Target          = (*Layout)(nil)
	_ content.RangeFetcher    = (*Layout)(nil)
	_ content.UploadResumer   = (*Layout)(nil)
	_ content.TagLister       = (*Layout)(nil)
	_ content.ReferrersLister = (*Layout)(nil)
	_ content.Deleter         = (*Layout)(nil)
	_ content.Rereader        = (*Layout)(nil)
)

// Open opens the layout in the directory path. It writes nothing. Where there is no
// layout the error is a [content.ErrNotFound] that says what is missing; where there is
// one of another version, a [content.ErrUnsupported].
func Open(path string) (*Layout, error) {
	l, err := at(path, realDisk{})
	if err != nil {
		return nil, err
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l, nil
}

// OpenOrCreate opens the layout in the directory path for writing, and makes the directory
// and the layout where there is none. A directory with other things in it is refused. It
// removes what writers that are no more have left behind.
func OpenOrCreate(path string) (*Layout, error) { return openOrCreate(path, realDisk{}) }

func openOrCreate(path string, d disk) (*Layout, error) {
	l, err := at(path, d)
	if err != nil {
		return nil, err
	}
	if err := l.check(); errors.Is(err, content.ErrNotFound) {
		if err := l.create(); err != nil {
			return nil, fmt.Errorf("create the image layout %s: %w", l.path, err)
		}
	} else if err != nil {
		return nil, err
	}
	l.sweep(abandonedAfter)
	return l, nil
}

// at is the layout value of a path, by the same name however the path was written.
func at(path string, d disk) (*Layout, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(absolute); err == nil {
		absolute = resolved
	}
	return &Layout{path: absolute, disk: d, editing: make(chan struct{}, 1)}, nil
}

// Path is the layout's directory, absolute.
func (l *Layout) Path() string { return l.path }

// Location implements [content.Located]: "oci:" and the absolute path.
func (l *Layout) Location() content.Location {
	return content.Location{Registry: "oci:" + l.path}
}

// Rereadable implements [content.Rereader]: files may be read again.
func (l *Layout) Rereadable() bool { return true }

// Close gives back what writing holds: the lock that keeps [Layout.GC] of other processes
// away from blobs that no image refers to yet, and open uploads, which stay resumable. The
// layout may be used again after it.
func (l *Layout) Close() error { return l.writing.end() }

// check tells whether there is a layout, and if not, what is missing.
func (l *Layout) check() error {
	raw, err := readBounded(l.file(ocispec.ImageLayoutFile), content.MaxManifestSize)
	if errors.Is(err, fs.ErrNotExist) {
		missing := "it has no file " + ocispec.ImageLayoutFile
		if _, err := os.Stat(l.path); errors.Is(err, fs.ErrNotExist) {
			missing = "there is no such directory"
		}
		return &NoLayoutError{l.path, missing}
	}
	if err != nil {
		return fmt.Errorf("open the image layout %s: %w", l.path, err)
	}
	if err := checkVersion(raw); err != nil {
		return fmt.Errorf("%s: %w", l.file(ocispec.ImageLayoutFile), err)
	}
	if _, err := os.Stat(l.file(ocispec.ImageIndexFile)); errors.Is(err, fs.ErrNotExist) {
		return &NoLayoutError{l.path, "it has no file " + ocispec.ImageIndexFile}
	}
	return nil
}

func (l *Layout) file(elements ...string) string {
	return filepath.Join(append([]string{l.path}, elements...)...)
}

// blobFile is where the blob d is kept. Only a digest that was checked may become a path.
func (l *Layout) blobFile(d digest.Digest) (string, error) {
	if err := content.CheckDescriptor(content.Descriptor{Digest: d}); err != nil {
		return "", fmt.Errorf("%s: %w", l.path, err)
	}
	return l.file(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded()), nil
}

// begin is what every operation on d begins with.
func (l *Layout) begin(ctx context.Context, d content.Descriptor) (file string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := content.CheckDescriptor(d); err != nil {
		return "", fmt.Errorf("%s: %w", l.path, err)
	}
	return l.blobFile(d.Digest)
}
