package transfer

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
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

// A window full of images goes to a fast destination and to a slow one. The blobs that the slow
// one has not taken yet are in a bounded number of files; the rest it reads from the fast one.
func TestFilesForASlowDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		jobs := fullWindow(t, w, "b.test/%s:%d")
		for i := range jobs {
			slow := jobs[i].Destinations[0]
			slow.Registry = "c.test"
			jobs[i].Destinations = append(jobs[i].Destinations, slow)
		}
		var files, fast most // fast in seconds
		blobs, start := map[string]bool{}, time.Now()
		w.watch = func() { files.note(openFiles(t)) }
		for n := range 4 {
			name := fmt.Sprintf("repository%d", n)
			w.at("c.test/" + name).hold = takes("commit", 10*time.Second)
			w.at("b.test/" + name).onPushManifest = func(content.Descriptor, string) error {
				fast.note(int(time.Since(start) / time.Second))
				return nil
			}
		}
		e := New(w, Options{Limiter: connections(8)})
		e.spools = spool.NewPool(t.TempDir(), defaultSpoolBytes, 0)
		ok(t, run(t, e, jobs...)...)
		read := 0
		for n := range 4 {
			source := w.at(fmt.Sprintf("a.test/repository%d", n))
			read += source.times("fetch")
			for what := range source.counts {
				if digest, found := strings.CutPrefix(what, "fetch "); found {
					blobs[digest] = true
				}
			}
		}
		t.Logf("at most %d open files; the fast destination had all after %d s, the slow one after %v", files.Load(), fast.Load(), time.Since(start))
		if got := files.Load(); got > 300 {
			t.Errorf("%d files were open at once, want at most 256 and a few", got)
		}
		if read != len(blobs) {
			t.Errorf("%d blobs were read from the source %d times, want once each", len(blobs), read)
		}
		if got := fast.Load(); got > 60 {
			t.Errorf("the fast destination had all after %d s: it waited for the slow one", got)
		}
		nothingIsKept(t, e)
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
