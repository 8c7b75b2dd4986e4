package layout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func blobPath(l *layout.Layout, blob contenttest.Blob) string {
	return filepath.Join(l.Path(), "blobs", "sha256", blob.Descriptor.Digest.Encoded())
}

func TestCorruptBlobIsNotThereAndReplaced(t *testing.T) {
	flipped := func(raw []byte) []byte {
		raw = append([]byte(nil), raw...)
		raw[len(raw)/2] ^= 1
		return raw
	}
	for name, corrupt := range map[string]func([]byte) []byte{
		"flipped": flipped,
		"short":   func(raw []byte) []byte { return raw[:len(raw)-1] },
		"long":    func(raw []byte) []byte { return append(append([]byte(nil), raw...), 0) },
		"empty":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir())
			blob := contenttest.NewLayer("corrupt", 10_000)
			blob.Push(t, l)
			requireHas(t, l, blob, true)
			path := blobPath(l, blob)
			if err := os.WriteFile(path, corrupt(blob.Bytes), 0o644); err != nil {
				t.Fatal(err)
			}
			// The clock of a file system ticks in milliseconds.
			later := time.Now().Add(time.Second)
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
			requireHas(t, l, blob, false)
			requireHas(t, open(t, l.Path()), blob, false)
			blob.Push(t, l)
			requireHas(t, l, blob, true)
			blob.Check(t, l)
		})
	}
}

func TestCorruptManifestIsNotThereAndReplaced(t *testing.T) {
	l := open(t, t.TempDir())
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("l", 10))
	image.Push(t, l, "v1")
	raw := append([]byte(nil), image.Root.Bytes...)
	raw[10] ^= 1
	if err := os.WriteFile(blobPath(l, image.Root), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := open(t, l.Path())
	if _, err := fresh.Resolve(t.Context(), "v1"); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("resolve: got %v, want not found", err)
	}
	if _, err := fresh.FetchManifest(t.Context(), image.Descriptor()); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("fetch: got %v, want a mismatch", err)
	}
	image.Push(t, fresh, "v1")
	image.Check(t, fresh)
}

// The bytes of a blob are read once to check it, as long as its file stays the same.
func TestBlobIsCheckedOnce(t *testing.T) {
	dir := t.TempDir()
	blob := contenttest.NewLayer("once", 1000)
	blob.Push(t, open(t, dir))
	l := open(t, dir)
	requireHas(t, l, blob, true)
	info, err := os.Stat(blobPath(l, blob))
	if err != nil {
		t.Fatal(err)
	}
	// Other bytes in the same file at the same time: only a second reading could tell.
	if err := os.WriteFile(blobPath(l, blob), make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(blobPath(l, blob), info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	requireHas(t, l, blob, true)
	requireHas(t, open(t, dir), blob, false)
}

// Bytes of a source that lied are not continued.
func TestLieEndsTheSession(t *testing.T) {
	l := open(t, t.TempDir())
	blob, other := contenttest.NewLayer("truth", 1000), contenttest.NewLayer("lie", 1000)
	upload, err := l.StartUpload(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	session := upload.(content.ResumableUpload).Session()
	if err := upload.Commit(t.Context(), content.NewStream(bytes.NewReader(other.Bytes), blob.Descriptor)); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("commit: got %v, want a mismatch", err)
	}
	if _, err := l.ResumeUpload(t.Context(), blob.Descriptor, session); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("resume: got %v, want not found", err)
	}
}

// The context may end between the last byte and the rename.
func TestContextEndsAfterTheLastByte(t *testing.T) {
	l := open(t, t.TempDir())
	blob := contenttest.NewLayer("last byte", 1000)
	upload, err := l.StartUpload(t.Context(), blob.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	source := io.MultiReader(bytes.NewReader(blob.Bytes), endAtEOF{end})
	if err := upload.Commit(ctx, content.NewStream(source, blob.Descriptor)); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: got %v, want the context's error", err)
	}
	requireHas(t, l, blob, false)
	if err := upload.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

type endAtEOF struct{ end context.CancelFunc }

func (r endAtEOF) Read([]byte) (int, error) {
	r.end()
	return 0, io.EOF
}

func requireHas(t *testing.T, l *layout.Layout, blob contenttest.Blob, want bool) {
	t.Helper()
	if got, err := l.HasBlob(t.Context(), blob.Descriptor); err != nil || got != want {
		t.Fatalf("has blob: got %v and %v, want %v", got, err, want)
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
