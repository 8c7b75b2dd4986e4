package transfer

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/retry"
)

// mountsCommitted lets a repository take blobs only from one where a manifest names them, as
// Amazon ECR does.
func mountsCommitted(w *world, registry, name string) {
	w.at(registry + "/" + name).onMount = func(from string) error {
		if from != name && len(w.at(registry+"/"+from).putNames()) == 0 {
			return content.ErrNotMounted
		}
		return nil
	}
}

// Images that share layers go to the repositories of a registry that mounts only what a
// manifest names. Each could wait for the manifest of another one that waits for its own: none
// does, whatever is slow.
func TestWaitsForMountsAreNotCircular(t *testing.T) {
	x, y, z := contenttest.NewLayer("x", 40_000), contenttest.NewLayer("y", 70_000), contenttest.NewLayer("z", 300)
	for name, layers := range map[string][][]contenttest.Blob{
		"a pair": {{x, y}, {y, x}},
		"a ring": {{x, y}, {y, z}, {z, x}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				for _, reversed := range []bool{false, true} {
					synctest.Test(t, func(t *testing.T) { waitsForMounts(t, layers, seed, reversed) })
				}
			}
		})
	}
}

// waitsForMounts runs one image for each list of layers, each in a repository of its own. All
// that is asked takes a random time.
func waitsForMounts(t *testing.T, layers [][]contenttest.Blob, seed uint64, reversed bool) {
	t.Helper()
	w, d := newWorld(), newDice(seed)
	var images []contenttest.Image
	var jobs []Job
	for n := range layers {
		name := fmt.Sprint("repository", n)
		images = append(images, contenttest.NewImage("linux/amd64", layers[n]...))
		images[n].Push(t, w.at("a.test/"+name).MemoryRepository, "1")
		jobs = append(jobs, job("a.test/"+name+":1", "b.test/"+name+":1"))
		mountsCommitted(w, "b.test", name)
		for _, registry := range []string{"a.test", "b.test"} {
			w.at(registry + "/" + name).hold = func(ctx context.Context, _ string, _ digest.Digest) error {
				return retry.Sleep(ctx, d.upTo(2*time.Second))
			}
		}
		w.at("b.test/" + name).onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
			return slowReader{r, 1000 + d.below(50_000), d.upTo(300 * time.Millisecond)}, nil
		}
	}
	if reversed {
		slices.Reverse(jobs)
	}
	e := New(w, Options{Window: 1 + d.below(4), Limiter: connections(3 + d.below(10))})
	e.moveCheck = time.Hour
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := e.Run(ctx, slices.Values(jobs), func(r *Result) { ok(t, r) }); err != nil {
		t.Errorf("schedule %d, reversed %v: %v", seed, reversed, err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("schedule %d, reversed %v: it took %v, want less than a minute", seed, reversed, took)
	}
	for n, image := range images {
		image.Check(t, w.at(fmt.Sprint("b.test/repository", n)).MemoryRepository)
	}
	nothingIsKept(t, e)
	noSessions(t, w)
}

// 41 repositories of a registry without mounts need one blob, one after the other through the
// only write slot. The registry drops upload sessions after 10 minutes without a byte: one
// that had been opened for the last repository at the start would be gone.
func TestSessionsAreOpenedWhenTheirTurnComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const repositories = 41
		w := newWorld()
		layer := contenttest.NewLayer("x", 2<<20)
		image := contenttest.NewImage("linux/amd64", layer)
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		var jobs []Job
		for n := range repositories {
			name := fmt.Sprintf("b.test/repository%d", n)
			jobs = append(jobs, job("a.test/app:1", name+":1"))
			at := w.at(name)
			at.sessionLife = 10 * time.Minute
			at.onMount = func(from string) error {
				if from != at.Location().Repository {
					return content.ErrNotMounted
				}
				return nil
			}
			at.onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
				time.Sleep(time.Minute)
				return r, nil
			}
		}
		limiter := connections(3)
		if slots := writeSlots(t, limiter); slots != 1 {
			t.Fatalf("%d write slots, want 1", slots)
		}
		e := New(w, Options{Limiter: limiter})
		e.moveCheck = 100 * time.Hour
		start := time.Now()
		ok(t, run(t, e, jobs...)...)
		for n := range repositories {
			image.Check(t, w.at(fmt.Sprintf("b.test/repository%d", n)).MemoryRepository)
		}
		if _, most := w.sessionsOf("b.test").counted(); most > 1 {
			t.Errorf("%d sessions were open at once, with one write slot", most)
		}
		read := e.Counters.Read.Load()
		t.Logf("%v, %d bytes read", time.Since(start), read)
		if got := w.at("a.test/app").times("fetch " + layer.Descriptor.Digest.String()); got > 1 {
			t.Errorf("the blob left the source %d times, want once", got)
		}
		nothingIsKept(t, e)
		noSessions(t, w)
	})
}

// The image that brought a layer has ended hours ago, and nothing remembers anything between
// runs: a later image of another repository still mounts the layer.
func TestLayerOfAnEndedImageIsMounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		layer := contenttest.NewLayer("base", 5<<20) // too large to be asked for by a probe
		push := func(name, tag string, layers ...contenttest.Blob) Job {
			contenttest.NewImage("linux/amd64", layers...).Push(t, w.at("a.test/"+name).MemoryRepository, tag)
			at := w.at("b.test/" + name)
			at.onCommit = func(_ content.Descriptor, r io.Reader) (io.Reader, error) {
				time.Sleep(time.Minute)
				return r, nil
			}
			return job("a.test/"+name+":"+tag, "b.test/"+name+":"+tag)
		}
		first := push("first", "1", layer, contenttest.NewLayer("first", 100))
		last := push("last", "1", layer, contenttest.NewLayer("last", 100))
		e := New(w, Options{Window: 1})
		e.moveCheck = 1000 * time.Hour
		ended := make(chan struct{}, 1)
		jobs := func(yield func(Job) bool) {
			if !yield(first) {
				return
			}
			for n := range 100 {
				if !yield(push("between", fmt.Sprint(n), contenttest.NewLayer(fmt.Sprint(n), 100))) {
					return
				}
			}
			for range 101 {
				<-ended
			}
			if pending := e.blobs.Pending(); pending != 0 {
				t.Errorf("%d blobs are held, though all images have ended", pending)
			}
			yield(last)
		}
		start := time.Now()
		if err := e.Run(t.Context(), jobs, func(r *Result) { ok(t, r); ended <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Hour {
			t.Errorf("the run took %v, want hours", took)
		}
		of := "fetch " + layer.Descriptor.Digest.String()
		if got := w.at("a.test/first").times(of) + w.at("a.test/last").times(of); got != 1 {
			t.Errorf("the layer left the source %d times, want once", got)
		}
		requireCounts(t, "the last repository", w.at("b.test/last"), map[string]int{"mount": 1, "commit": 2})
	})
}
