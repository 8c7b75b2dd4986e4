package transfer

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// A blob that could not be read gave its spool space back to nobody: some such blobs, and
// the run waited for space for ever.
func TestFailedSpoolGivesItsSpaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		broken := contenttest.NewLayer("broken", 4000)
		contenttest.NewImage("linux/amd64", broken).Push(t, w.at("a.test/broken").MemoryRepository, "1")
		image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("right", 4000))
		image.Push(t, w.at("a.test/right").MemoryRepository, "1")
		w.at("a.test/broken").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			if d.Digest == broken.Descriptor.Digest {
				return nil, content.ErrDenied
			}
			return body, nil
		}
		e := New(w, Options{SpoolBytes: 5000})
		results := run(t, e, job("a.test/broken:1", "b.test/broken:1", "c.test/broken:1"))
		for _, d := range results[0].Destinations {
			if side, found := errors.AsType[*Error](d.Err); !found || side.Side != SideSource {
				t.Errorf("%v does not blame the source", d.Err)
			}
		}
		ok(t, run(t, e, job("a.test/right:1", "b.test/right:1", "c.test/right:1"))...)
	})
}

// Two images share a child manifest; the second waits while the first brings it. What the
// second had announced of the child kept its blobs in the spool until the image was there,
// and the image waited for space in the spool.
func TestSharedChildIsKeptNoLongerThanNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		shared := contenttest.NewImage("linux/amd64", contenttest.NewLayer("shared", 4000))
		for i, name := range []string{"x", "y"} {
			own := contenttest.NewImage("linux/arm64", contenttest.NewLayer(name, 3000+i))
			contenttest.NewIndex(shared, own).Push(t, w.at("a.test/"+name).MemoryRepository, "1")
		}
		// The second image's own layer asks for space when the shared one has it.
		for _, name := range []string{"b.test/app", "c.test/app"} {
			w.at(name).onMount = func(string) error { return nil }
			w.at(name).onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
				time.Sleep(time.Second)
				return r, nil
			}
		}
		w.at("a.test/y").onResolve = func(string) error { time.Sleep(100 * time.Millisecond); return nil }
		j := &journal{}
		ok(t, run(t, New(w, Options{SpoolBytes: 5000, Observe: j.observe}),
			job("a.test/x:1", "b.test/app:x", "c.test/app:x"), job("a.test/y:1", "b.test/app:y", "c.test/app:y"))...)
		told := map[string]int{}
		for _, event := range j.events {
			if done, is := event.(BlobDone); is && done.Descriptor.Digest == shared.Blobs[1].Descriptor.Digest {
				told[done.Destination.Familiar()]++
			}
		}
		if len(told) != 4 {
			t.Errorf("the end of the shared layer was told for %v, want four destinations", told)
		}
	})
}

// One of two images that have a child in common has a broken source: the other's serves both.
func TestChildThatAnotherImageFailsAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("shared", 4000)
		index := contenttest.NewIndex(contenttest.NewImage("linux/amd64", layer))
		index.Push(t, w.at("a.test/app").MemoryRepository, "1")
		index.Push(t, w.at("z.test/app").MemoryRepository, "1")
		w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			time.Sleep(time.Second)
			return nil, content.ErrDenied
		}
		w.at("z.test/app").onResolve = func(string) error { time.Sleep(100 * time.Millisecond); return nil }
		results := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:broken"), job("z.test/app:1", "b.test/app:right"))
		ok(t, results...)
	})
}

// Two images with one layer and different sources go to different registries: where one
// source is broken, the spool is filled from the other.
func TestSpoolThatAnotherSourceFailsAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("shared", 4000)
		for _, name := range []string{"a.test/app", "z.test/app"} {
			contenttest.NewImage("linux/amd64", layer).Push(t, w.at(name).MemoryRepository, "1")
		}
		w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			time.Sleep(time.Second)
			return nil, content.ErrDenied
		}
		w.at("z.test/app").onResolve = func(string) error { time.Sleep(100 * time.Millisecond); return nil }
		results := run(t, New(w, Options{}),
			job("a.test/app:1", "b.test/app:1", "d.test/app:1"), job("z.test/app:1", "c.test/app:1"))
		ok(t, results...)
	})
}

// A source that gives wrong bytes is asked again, twice; once they are right they arrive,
// also through a spool.
func TestWrongBytesAreReadAgain(t *testing.T) {
	for name, destinations := range map[string][]string{
		"streamed": {"b.test/app:1"},
		"spooled":  {"b.test/app:1", "c.test/app:1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			layer := contenttest.NewLayer("x", 5000)
			image := contenttest.NewImage("linux/amd64", layer)
			image.Push(t, w.at("a.test/app").MemoryRepository, "1")
			var read atomic.Int32
			w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
				if d.Digest == layer.Descriptor.Digest && read.Add(1) == 1 {
					return io.NopCloser(strings.NewReader(strings.Repeat("x", 5000))), nil
				}
				return body, nil
			}
			ok(t, run(t, New(w, Options{}), job("a.test/app:1", destinations...))...)
			image.Check(t, w.at("b.test/app").MemoryRepository)
		})
	}
}

// Our own sum is right and the registry says that the digest is wrong: that is its fault.
func TestDigestRefusedByTheDestination(t *testing.T) {
	w := newWorld()
	contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 5000)).Push(t, w.at("a.test/app").MemoryRepository, "1")
	w.at("b.test/app").onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
		_, _ = io.Copy(io.Discard, r)
		return nil, fmt.Errorf("400 DIGEST_INVALID: %w", content.ErrMismatch)
	}
	err := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))[0].Err()
	if side, found := errors.AsType[*Error](err); !found || side.Side != SideDestination {
		t.Errorf("%v does not blame the destination", err)
	}
}

// A blob that no spool could hold goes to one destination after the other: the source is
// read once, then the first destination.
func TestBlobLargerThanTheSpool(t *testing.T) {
	w := newWorld()
	layer := contenttest.NewLayer("x", 5000)
	image := contenttest.NewImage("linux/amd64", layer)
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	e := New(w, Options{SpoolBytes: 4000})
	ok(t, run(t, e, job("a.test/app:1", "b.test/app:1", "c.test/app:1"))...)
	image.Check(t, w.at("b.test/app").MemoryRepository)
	image.Check(t, w.at("c.test/app").MemoryRepository)
	requireCounts(t, "source", w.at("a.test/app"), map[string]int{"fetch " + layer.Descriptor.Digest.String(): 1})
	if got := e.Counters.Reread.Load(); got != 5000 {
		t.Errorf("%d bytes counted as read again, want 5000", got)
	}
}

// A destination that has the blob opens it and then breaks: the source is read instead, and
// is not blamed.
func TestHolderThatBreaksHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("x", 5000)
		contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/app").MemoryRepository, "1")
		for _, name := range []string{"b.test/app", "c.test/app"} {
			w.at(name).onFetch = func(_ content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(io.LimitReader(body, 1000), brokenReader{})), nil
			}
		}
		j := &journal{}
		ok(t, run(t, New(w, Options{SpoolBytes: 4000, Observe: j.observe}), job("a.test/app:1", "b.test/app:1", "c.test/app:1"))...)
		for _, event := range j.events {
			if again, is := event.(BlobRetrying); is && !strings.HasPrefix(again.Err.Error(), "destination ") {
				t.Errorf("%v does not blame the destination that was read", again.Err)
			}
		}
		if got := w.at("a.test/app").times("fetch " + layer.Descriptor.Digest.String()); got > 2 {
			t.Errorf("the source was read from the start %d times, want at most 2", got)
		}
	})
}

// A spool that is filled in two parts has read nothing twice.
func TestResumedSpoolReadsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("x", 5000)
		contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/app").MemoryRepository, "1")
		var cut sync.Once
		w.at("a.test/app").onFetch = func(d content.Descriptor, body io.ReadCloser) (io.ReadCloser, error) {
			if d.Digest == layer.Descriptor.Digest {
				cut.Do(func() { body = io.NopCloser(io.MultiReader(io.LimitReader(body, 1000), brokenReader{})) })
			}
			return body, nil
		}
		e := New(w, Options{})
		ok(t, run(t, e, job("a.test/app:1", "b.test/app:1", "c.test/app:1"))...)
		if got := e.Counters.Reread.Load(); got != 0 {
			t.Errorf("%d bytes counted as read again, want none", got)
		}
	})
}

// A layer that both platforms of an image have needs sending once, and was not also
// skipped.
func TestSharedLayerIsCountedOnce(t *testing.T) {
	w := newWorld()
	twoPlatforms("").Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := &journal{}
	e := New(w, Options{Observe: j.observe})
	ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
	if got := e.Counters.Skipped.Load(); got != 0 {
		t.Errorf("%d bytes counted as skipped, want none", got)
	}
	if got := j.outcomes(); got[BlobSent] != 7 || len(got) != 1 {
		t.Errorf("outcomes %v, want 7 blobs sent", got)
	}
}

// A mount that broke on its way tells nothing about the registry: later layers are mounted.
func TestBrokenMountIsNoRefusal(t *testing.T) {
	w := newWorld()
	first, second := contenttest.NewLayer("first", 5000), contenttest.NewLayer("second", 5000)
	for _, name := range []string{"x", "y"} {
		contenttest.NewImage("linux/amd64", first).Push(t, w.at("a.test/"+name).MemoryRepository, "1")
		contenttest.NewImage("linux/amd64", second).Push(t, w.at("a.test/"+name).MemoryRepository, "2")
	}
	var broken atomic.Bool
	w.at("b.test/y").onMount = func(from string) error {
		if from == "x" && broken.CompareAndSwap(false, true) {
			return errBroken
		}
		return nil
	}
	ok(t, run(t, New(w, Options{Window: 1}), job("a.test/x:1", "b.test/x:1"), job("a.test/y:1", "b.test/y:1"),
		job("a.test/x:2", "b.test/x:2"), job("a.test/y:2", "b.test/y:2"))...)
	if got := w.at("b.test/y").times("commit"); got != 0 {
		t.Errorf("%d blobs were sent to y that the registry would have mounted", got)
	}
}

// The registry drops an upload that waited for its turn, whoever opened it: another is
// opened at once.
func TestDroppedUploadIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("x", 5000)
		image := contenttest.NewImage("linux/amd64", layer)
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		var commits atomic.Int32
		w.at("b.test/app").onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
			if d.Digest == layer.Descriptor.Digest {
				switch commits.Add(1) {
				case 1:
					return nil, errBroken
				case 2:
					return nil, content.ErrNotFound
				}
			}
			return r, nil
		}
		ok(t, run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))...)
		image.Check(t, w.at("b.test/app").MemoryRepository)
	})
}

// Amazon ECR mounts a blob only from a repository where a manifest refers to it: a repository
// waits for that of a delivery before its own, and the layer leaves its source once.
func TestRegistryThatMountsOnlyWhatIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("base", 50_000)
		names := []string{"x", "y", "z"}
		var jobs []Job
		for _, name := range names {
			contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer(name, 100)).
				Push(t, w.at("a.test/"+name).MemoryRepository, "1")
			jobs = append(jobs, job("a.test/"+name+":1", "b.test/"+name+":1"))
			w.at("a.test/" + name).onResolve = func(string) error {
				if name != names[0] {
					time.Sleep(time.Second / 2) // the first repository sends the layer
				}
				return nil
			}
			to := w.at("b.test/" + name)
			to.onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
				time.Sleep(time.Second)
				if d.Digest != layer.Descriptor.Digest {
					time.Sleep(time.Second) // the first mount is tried before a manifest is there
				}
				return r, nil
			}
			to.onMount = func(from string) error {
				if from != name && len(w.at("b.test/"+from).putNames()) == 0 {
					return content.ErrNotMounted
				}
				return nil
			}
		}
		j, memory := &journal{}, &abilities{}
		ok(t, run(t, New(w, Options{Observe: j.observe, Abilities: memory}), jobs...)...)
		if seen, _ := memory.Ability("b.test", "mount"); seen != "committed" {
			t.Errorf("remembered %q, want committed", seen)
		}
		sent := 0
		for _, name := range names {
			sent += w.at("a.test/" + name).times("fetch " + layer.Descriptor.Digest.String())
			if w.at("b.test/"+name).tag("1") == "" {
				t.Errorf("b.test/%s:1 did not arrive", name)
			}
		}
		if sent != 1 {
			t.Errorf("the shared layer left the source %d times, want 1", sent)
		}
		if got := j.outcomes()[BlobMounted]; got == 0 {
			t.Errorf("no blob was mounted: %v", j.outcomes())
		}
	})
}

// A mount that such a registry grants, because the manifest is there, does not hide that it refuses
// earlier ones: a layer of other repositories is sent once too.
func TestGrantedMountDoesNotHideARefusedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, later := contenttest.NewLayer("first", 50_000), contenttest.NewLayer("later", 50_000)
		repositories := []struct {
			name  string
			layer contenttest.Blob
			after time.Duration // when its source answers
		}{{"a", first, 0}, {"b", first, 10 * time.Second}, {"x", later, 20 * time.Second}, {"y", later, 21 * time.Second}}
		var jobs []Job
		for _, r := range repositories {
			from, to := w.at("a.test/"+r.name), w.at("b.test/"+r.name)
			contenttest.NewImage("linux/amd64", r.layer, contenttest.NewLayer(r.name, 100)).Push(t, from.MemoryRepository, "1")
			jobs = append(jobs, job("a.test/"+r.name+":1", "b.test/"+r.name+":1"))
			from.onResolve = func(string) error {
				time.Sleep(r.after)
				return nil
			}
			to.onCommit = func(d content.Descriptor, body io.Reader) (io.Reader, error) {
				time.Sleep(2 * time.Second)
				if d.Digest != r.layer.Descriptor.Digest {
					time.Sleep(time.Second) // the first mount is tried before a manifest is there
				}
				return body, nil
			}
			to.onMount = func(from string) error {
				if from != r.name && len(w.at("b.test/"+from).putNames()) == 0 {
					return content.ErrNotMounted
				}
				return nil
			}
		}
		j := &journal{}
		ok(t, run(t, New(w, Options{Observe: j.observe}), jobs...)...)
		if got := j.outcomes()[BlobMounted]; got != 2 {
			t.Errorf("%d blobs were mounted, want 2: %v", got, j.outcomes())
		}
	})
}

// A slow destination keeps the spool full: another blob goes without one, is read from the source
// once too, and the upload of the slow destination goes on.
func TestFullSpoolDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first, second := contenttest.NewLayer("first", 80_000), contenttest.NewLayer("second", 60_000)
		contenttest.NewImage("linux/amd64", first).Push(t, w.at("a.test/first").MemoryRepository, "1")
		contenttest.NewImage("linux/amd64", second).Push(t, w.at("a.test/second").MemoryRepository, "1")
		w.at("slow.test/first").onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
			return slowReader{r, 1000, time.Second}, nil
		}
		w.at("a.test/second").onResolve = func(string) error {
			time.Sleep(5 * time.Second) // so that the spool is full by then
			return nil
		}
		ended := map[string]time.Duration{}
		var mu sync.Mutex
		start := time.Now()
		e := New(w, Options{SpoolBytes: 100_000, Observe: func(ev Event) {
			if done, is := ev.(DestinationDone); is {
				mu.Lock()
				defer mu.Unlock()
				ended[done.Result.Reference.Familiar()] = time.Since(start)
			}
		}})
		e.moveCheck = time.Hour
		ok(t, run(t, e,
			job("a.test/first:1", "fast.test/first:1", "slow.test/first:1"),
			job("a.test/second:1", "fast.test/second:1", "other.test/second:1"))...)
		for name, layer := range map[string]contenttest.Blob{"first": first, "second": second} {
			if got := w.at("a.test/" + name).times("fetch " + layer.Descriptor.Digest.String()); got != 1 {
				t.Errorf("the %s layer left the source %d times, want 1", name, got)
			}
		}
		if took := ended["fast.test/second:1"]; took > 10*time.Second {
			t.Errorf("the second image waited %v for the spool of the first", took)
		}
		if got := w.at("fast.test/first").times("fetch " + first.Descriptor.Digest.String()); got != 0 {
			t.Errorf("the slow destination began again %d times, want 0", got)
		}
		if w.at("slow.test/first").tag("1") == "" {
			t.Error("the slow destination got nothing")
		}
	})
}

// The first image of an index is there while a layer of the second is still sent: a mount from that repository then
// says nothing about blobs that no manifest refers to.
func TestMountsFromAnIndexInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer, slow := contenttest.NewLayer("base", 50_000), contenttest.NewLayer("slow", 60_000)
		index := contenttest.NewIndex(contenttest.NewImage("linux/amd64", layer), contenttest.NewImage("linux/arm64", slow))
		index.Push(t, w.at("a.test/x").MemoryRepository, "1")
		contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer("y", 100)).Push(t, w.at("a.test/y").MemoryRepository, "1")
		w.at("a.test/y").onResolve = func(string) error { time.Sleep(5 * time.Second); return nil }
		w.at("b.test/x").onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
			if d.Digest == slow.Descriptor.Digest {
				time.Sleep(30 * time.Second)
			}
			return r, nil
		}
		for _, name := range []string{"x", "y"} {
			mountsCommitted(w, "b.test", name)
		}
		memory := &abilities{}
		memory.KeepAbility("b.test", "mount", "committed")
		ok(t, run(t, New(w, Options{Abilities: memory}), job("a.test/x:1", "b.test/x:1"), job("a.test/y:1", "b.test/y:1"))...)
		if seen, _ := memory.Ability("b.test", "mount"); seen != "committed" {
			t.Errorf("remembered %q, want committed", seen)
		}
	})
}
