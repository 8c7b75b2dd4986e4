//go:build unix

package layout

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// hangs is after how long an operation is taken to wait for the other end of a named pipe.
const hangs = 30 * time.Second

// soon fails the test if do does not return.
func soon(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(hangs):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// special are files that are not regular, by what a layout's errors call them.
func special(t *testing.T) map[string]func(path string) {
	t.Helper()
	made := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return map[string]func(path string){
		"a named pipe": func(path string) { made(syscall.Mkfifo(path, 0o644)) },
		"a device":     func(path string) { made(os.Symlink("/dev/zero", path)) },
		"a directory":  func(path string) { made(os.Mkdir(path, 0o755)) },
		"a socket": func(path string) {
			address := filepath.Join(t.TempDir(), "s")
			listener, err := net.Listen("unix", address)
			made(err)
			t.Cleanup(func() { _ = listener.Close() })
			made(os.Symlink(address, path))
		},
	}
}

// A layout from elsewhere has a named pipe, a device, a socket or a directory in place of a file. Each is refused with
// its name. A pipe once made a copy hang, which SIGTERM did not end.
func TestOnlyRegularFiles(t *testing.T) {
	layer := contenttest.NewLayer("a", 1000)
	empty := content.NewDescriptor("application/octet-stream", nil) // of the size of a pipe
	for _, place := range []struct {
		name string
		path func(image contenttest.Image) string
		read func(l *Layout, image contenttest.Image) error
	}{
		{"oci-layout", func(contenttest.Image) string { return ocispec.ImageLayoutFile }, func(l *Layout, _ contenttest.Image) error {
			_, err := Open(l.Path())
			return err
		}},
		{"index.json", func(contenttest.Image) string { return ocispec.ImageIndexFile }, func(l *Layout, _ contenttest.Image) error {
			_, err := l.Resolve(t.Context(), "v1")
			return err
		}},
		{"a manifest", func(i contenttest.Image) string { return blobPath(i.Digest()) }, func(l *Layout, i contenttest.Image) error {
			_, err := l.FetchManifest(t.Context(), i.Descriptor())
			return err
		}},
		{"a manifest with a tag", func(i contenttest.Image) string { return blobPath(i.Digest()) }, func(l *Layout, _ contenttest.Image) error {
			_, err := l.Resolve(t.Context(), "v1")
			return err
		}},
		{"a blob", func(i contenttest.Image) string { return blobPath(layer.Descriptor.Digest) }, func(l *Layout, i contenttest.Image) error {
			_, err := l.FetchBlob(t.Context(), layer.Descriptor)
			return err
		}},
		{"a range of a blob", func(i contenttest.Image) string { return blobPath(layer.Descriptor.Digest) }, func(l *Layout, i contenttest.Image) error {
			_, err := l.FetchBlobRange(t.Context(), layer.Descriptor, 1, 2)
			return err
		}},
		{"an empty blob", func(contenttest.Image) string { return blobPath(empty.Digest) }, func(l *Layout, _ contenttest.Image) error {
			_, err := l.HasBlob(t.Context(), empty)
			return err
		}},
		{"writers.lock", func(contenttest.Image) string { return filepath.Join(privateDir, writersLock) }, func(l *Layout, _ contenttest.Image) error {
			_, err := l.StartUpload(t.Context(), empty)
			return err
		}},
		{"index.lock", func(contenttest.Image) string { return filepath.Join(privateDir, indexLock) }, func(l *Layout, _ contenttest.Image) error {
			return l.Update(t.Context(), func(all []content.Descriptor) ([]content.Descriptor, error) { return all, nil })
		}},
	} {
		for kind, put := range special(t) {
			t.Run(place.name+" is "+kind, func(t *testing.T) {
				image := contenttest.NewImage("linux/amd64", layer)
				l := writtenLayout(t, image)
				path := l.file(place.path(image))
				if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				put(path)
				err := soon(t, "reading it", func() error { return place.read(l, image) })
				if !errors.Is(err, content.ErrInvalid) || !strings.Contains(err.Error(), path+" is "+kind+", not a regular file") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// Partial uploads and locks that are pipes do not keep a layout from being opened for writing.
func TestPipesAreNotSwept(t *testing.T) {
	layer := contenttest.NewLayer("a", 1000)
	image := contenttest.NewImage("linux/amd64", layer)
	l := writtenLayout(t, image)
	uploads := l.file(privateDir, uploadsDir)
	if err := os.MkdirAll(uploads, 0o755); err != nil {
		t.Fatal(err)
	}
	session := sessionPrefix(layer.Descriptor.Digest) + "AAAA"
	for _, path := range []string{filepath.Join(uploads, session), l.file(privateDir, indexLock)} {
		_ = os.Remove(path)
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-2 * abandonedAfter)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	err := soon(t, "opening it", func() error {
		_, err := OpenOrCreate(l.Path())
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = soon(t, "resuming", func() error {
		_, err := l.ResumeUpload(t.Context(), layer.Descriptor, session)
		return err
	})
	if !errors.Is(err, content.ErrInvalid) {
		t.Errorf("resuming: got %v", err)
	}
}

// Links to regular files are read, as other tools make them to share blobs.
func TestLinksToFilesAreRead(t *testing.T) {
	layer := contenttest.NewLayer("a", 1000)
	image := contenttest.NewImage("linux/amd64", layer)
	l := writtenLayout(t, image)
	path, elsewhere := l.file(blobPath(layer.Descriptor.Digest)), filepath.Join(t.TempDir(), "blob")
	if err := errors.Join(os.Rename(path, elsewhere), os.Symlink(elsewhere, path)); err != nil {
		t.Fatal(err)
	}
	body, err := l.FetchBlob(t.Context(), layer.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if raw, err := io.ReadAll(body); err != nil || digest.FromBytes(raw) != layer.Descriptor.Digest {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

func blobPath(d digest.Digest) string {
	return filepath.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// writtenLayout is a layout that has the image under the tag v1, as a process that has ended left it.
func writtenLayout(t *testing.T, image contenttest.Image) *Layout {
	t.Helper()
	l, err := OpenOrCreate(filepath.Join(t.TempDir(), "layout"))
	if err != nil {
		t.Fatal(err)
	}
	image.Push(t, l, "v1")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = Open(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
