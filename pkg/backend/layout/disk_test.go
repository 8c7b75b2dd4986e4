package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// faultyDisk is a real disk that refuses to write: at once, or once it has taken so many
// bytes. It refuses root too.
type faultyDisk struct {
	realDisk
	refuse error
	left   *atomic.Int64 // nil: refuses everything
}

func (d *faultyDisk) MkdirAll(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if d.left == nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: d.refuse}
	}
	return d.realDisk.MkdirAll(path)
}

func (d *faultyDisk) Create(path string) (diskFile, error) {
	if d.left == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: d.refuse}
	}
	file, err := d.realDisk.Create(path)
	return &faultyFile{file, d, path}, err
}

func (d *faultyDisk) Rename(from, to string) error {
	if d.left == nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: d.refuse}
	}
	return d.realDisk.Rename(from, to)
}

type faultyFile struct {
	diskFile
	disk *faultyDisk
	path string
}

func (f *faultyFile) Write(p []byte) (int, error) {
	room := f.disk.left.Add(int64(-len(p))) + int64(len(p))
	if room >= int64(len(p)) {
		return f.diskFile.Write(p)
	}
	n, _ := f.diskFile.Write(p[:max(0, room)])
	return n, &fs.PathError{Op: "write", Path: f.path, Err: f.disk.refuse}
}

const diskSize = 1 << 20

// fullDisks are layouts on disks that hold about diskSize bytes more: one that only says
// so, and a real one where this process may mount it.
func fullDisks(t *testing.T) map[string]*Layout {
	t.Helper()
	left := &atomic.Int64{}
	left.Store(diskSize)
	seam, err := openOrCreate(filepath.Join(t.TempDir(), "layout"), &faultyDisk{refuse: syscall.ENOSPC, left: left})
	if err != nil {
		t.Fatal(err)
	}
	layouts := map[string]*Layout{"seam": seam}
	if dir, mounted := mountTmpfs(t); mounted {
		onDisk, err := OpenOrCreate(filepath.Join(dir, "layout"))
		if err != nil {
			t.Fatal(err)
		}
		layouts["tmpfs"] = onDisk
	}
	for _, l := range layouts {
		t.Cleanup(func() { _ = l.Close() })
	}
	return layouts
}

// mountTmpfs needs root and a kernel that lets it mount.
func mountTmpfs(t *testing.T) (dir string, mounted bool) {
	t.Helper()
	dir = t.TempDir()
	if err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskSize), "tmpfs", dir).Run(); err != nil {
		return "", false
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", "-l", dir).Run(); err != nil {
			t.Errorf("umount %s: %v", dir, err)
		}
	})
	return dir, true
}

func TestFullDisk(t *testing.T) {
	for name, l := range fullDisks(t) {
		t.Run(name, func(t *testing.T) {
			small := contenttest.NewImage("linux/amd64", contenttest.NewLayer("fits", 1000))
			small.Push(t, l, "v1")
			large := contenttest.NewLayer("does not fit", 2*diskSize)
			upload, err := l.StartUpload(t.Context(), large.Descriptor)
			if err != nil {
				t.Fatal(err)
			}
			err = upload.Commit(t.Context(), large.Stream())
			full, is := errors.AsType[*DiskError](err)
			if !is || !full.Full() || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("commit: got %v, want a full disk", err)
			}
			if full.Need <= 0 || full.Need > large.Descriptor.Size || !strings.HasPrefix(full.Path, l.Path()) {
				t.Errorf("got path %q and %d bytes needed", full.Path, full.Need)
			}
			for _, part := range []string{l.Path(), "no space left on device", fmt.Sprintf("free at least %d bytes", full.Need)} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if there, err := l.HasBlob(t.Context(), large.Descriptor); there || err != nil {
				t.Errorf("has blob: got %v and %v", there, err)
			}
			if err := upload.Cancel(t.Context()); err != nil {
				t.Errorf("cancel: %v", err)
			}
			requireNoPartials(t, l)
			small.Check(t, l)
		})
	}
}

// A disk that has no room for index.json keeps the old one.
func TestFullDiskKeepsTheTags(t *testing.T) {
	left := &atomic.Int64{}
	left.Store(diskSize)
	l, err := openOrCreate(t.TempDir(), &faultyDisk{refuse: syscall.EDQUOT, left: left})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("l", 1000))
	image.Push(t, l, "v1")
	left.Store(10)
	_, err = l.PushManifest(t.Context(), image.Descriptor(), image.Root.Bytes, "v2")
	if full, is := errors.AsType[*DiskError](err); !is || !full.Full() {
		t.Errorf("got %v, want a full disk", err)
	}
	if d, err := l.Resolve(t.Context(), "v1"); err != nil || d.Digest != image.Digest() {
		t.Errorf("the old tag: got %s and %v", d.Digest, err)
	}
	if _, err := l.Resolve(t.Context(), "v2"); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("the new tag: got %v, want not found", err)
	}
	left.Store(diskSize)
	image.Push(t, l, "v2")
}

// readOnlyLayouts are layouts with an image, that cannot be written to any more: one whose
// disk only says so, and those that this process can really make.
func readOnlyLayouts(t *testing.T, image contenttest.Image) map[string]*Layout {
	t.Helper()
	filled := func(dir string) string {
		l, err := OpenOrCreate(filepath.Join(dir, "layout"))
		if err != nil {
			t.Fatal(err)
		}
		image.Push(t, l, "v1")
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return l.Path()
	}
	seam, err := openOrCreate(filled(t.TempDir()), &faultyDisk{refuse: syscall.EROFS})
	if err != nil {
		t.Fatal(err)
	}
	layouts := map[string]*Layout{"seam": seam}
	if dir, mounted := mountTmpfs(t); mounted {
		path := filled(dir)
		if out, err := exec.Command("mount", "-o", "remount,ro", dir).CombinedOutput(); err != nil {
			t.Fatalf("remount: %v: %s", err, out)
		}
		layouts["mounted read-only"] = mustOpen(t, path)
	}
	if os.Geteuid() != 0 {
		path := filled(t.TempDir())
		forbid(t, path)
		layouts["forbidden"] = mustOpen(t, path)
	}
	return layouts
}

func mustOpen(t *testing.T, path string) *Layout {
	t.Helper()
	l, err := OpenOrCreate(path)
	if err != nil {
		t.Fatalf("open a layout that is there and read-only: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func forbid(t *testing.T, path string) {
	t.Helper()
	for _, dir := range []string{filepath.Join(path, privateDir, uploadsDir), filepath.Join(path, privateDir), filepath.Join(path, "blobs", "sha256"), path} {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("read-only", 1000))
	for name, l := range readOnlyLayouts(t, image) {
		t.Run(name, func(t *testing.T) {
			image.Check(t, l)
			if d, err := l.Resolve(t.Context(), "v1"); err != nil || d.Digest != image.Digest() {
				t.Errorf("resolve: got %s and %v", d.Digest, err)
			}
			if there, err := l.HasBlob(t.Context(), image.Blobs[0].Descriptor); !there || err != nil {
				t.Errorf("has blob: got %v and %v", there, err)
			}
			_, startErr := l.StartUpload(t.Context(), contenttest.NewLayer("new", 10).Descriptor)
			_, pushErr := l.PushManifest(t.Context(), image.Descriptor(), image.Root.Bytes, "v2")
			for call, err := range map[string]error{
				"StartUpload": startErr, "PushManifest": pushErr, "Delete": l.Delete(t.Context(), "v1"),
			} {
				readOnly, is := errors.AsType[*DiskError](err)
				if !is || !readOnly.ReadOnly() {
					t.Errorf("%s: got %v, want a read-only directory", call, err)
					continue
				}
				if !strings.Contains(err.Error(), l.Path()) || !strings.Contains(err.Error(), "choose another directory") {
					t.Errorf("%s: %q does not say where, or what to do", call, err)
				}
			}
		})
	}
}

func TestReadOnlyParent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layout")
	_, err := openOrCreate(path, &faultyDisk{refuse: syscall.EROFS})
	if readOnly, is := errors.AsType[*DiskError](err); !is || !readOnly.ReadOnly() || readOnly.Path != path {
		t.Errorf("got %v, want a read-only directory that names %s", err, path)
	}
}

func requireNoPartials(t *testing.T, l *Layout) {
	t.Helper()
	entries, err := os.ReadDir(l.file(privateDir, uploadsDir))
	if err != nil || len(entries) != 0 {
		t.Errorf("partial files: got %v and %v, want none", entries, err)
	}
}

// syncedDisk remembers which directories were synced.
type syncedDisk struct {
	realDisk
	synced map[string]bool
}

func (d *syncedDisk) SyncDir(path string) error {
	d.synced[path] = true
	return d.realDisk.SyncDir(path)
}

// A synced name is worth nothing in a directory whose own name a power cut takes.
func TestNewDirectoriesOfBlobsAreSynced(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		disk := &syncedDisk{synced: map[string]bool{}}
		l, err := openOrCreate(t.TempDir(), disk)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		if algorithm == digest.SHA512 {
			clear(disk.synced)
		}
		raw := []byte("blob")
		if err := l.write(t.Context(), content.Descriptor{Digest: algorithm.FromBytes(raw), Size: int64(len(raw))}, raw); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{l.file("blobs"), l.file("blobs", algorithm.String())} {
			if !disk.synced[dir] {
				t.Errorf("%s: %s was not synced", algorithm, dir)
			}
		}
	}
}
