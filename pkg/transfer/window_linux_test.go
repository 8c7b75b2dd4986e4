package transfer

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// intoLayout opens one image layout for all targets.
type intoLayout struct {
	*world
	layout *layout.Layout
}

func (o intoLayout) OpenTarget(context.Context, reference.Reference) (content.Target, error) {
	return o.layout, nil
}

// openFiles is how many files this process has open.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries) - 1 // the directory itself
}

// A window full of images goes into an image layout: open files are bounded by the write
// slots, each of which has a file and its lock at most.
func TestFullWindowIntoALayout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		into, err := layout.OpenOrCreate(dir)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld()
		jobs := fullWindow(t, w, "oci:"+dir+":%s-%d")[:60] // files are synced, which takes real time
		var files, goroutines most
		for _, name := range []string{"repository0", "repository1", "repository2", "repository3"} {
			w.at("a.test/" + name).onFetch = func(_ content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
				return watchedBody{slowReader{body, 300, 10 * time.Millisecond}, func() { files.note(openFiles(t)) }}, nil
			}
		}
		w.watch = func() {
			files.note(openFiles(t))
			goroutines.note(runtime.NumGoroutine())
		}
		e := New(intoLayout{w, into}, Options{Limiter: connections(8)})
		ok(t, run(t, e, jobs...)...)
		t.Logf("at most %d open files, %d goroutines", files.Load(), goroutines.Load())
		if got := files.Load(); got > 64 {
			t.Errorf("%d files were open at once, want at most 64", got)
		}
		if got := goroutines.Load(); got > 1000 {
			t.Errorf("there were %d goroutines, want at most 1,000", got)
		}
		nothingIsKept(t, e)
		if err := into.Close(); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".regsync", "uploads", "*")); err != nil || len(left) != 0 {
			t.Errorf("uploads are left: %v, %v", left, err)
		}
	})
}

// watchedBody tells of each reading.
type watchedBody struct {
	slowReader
	watch func()
}

func (b watchedBody) Read(p []byte) (int, error) {
	b.watch()
	return b.slowReader.Read(p)
}
