package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// loses makes requests of one kind for some digests find nothing.
func loses(kind string, gone ...digest.Digest) func(context.Context, string, digest.Digest) error {
	return func(_ context.Context, what string, d digest.Digest) error {
		for _, lost := range gone {
			if what == kind && d == lost {
				return fmt.Errorf("%s %s: %w", kind, d, content.ErrNotFound)
			}
		}
		return nil
	}
}

// A blob or a manifest is gone when its turn comes: that image fails and says of which side
// it lacks what; no tag moves, nothing stays open, and the others of the run arrive.
func TestSourceThatLosesContentInMidRun(t *testing.T) {
	layer := contenttest.NewLayer("lost", 5000)
	child := contenttest.NewImage("linux/amd64", layer)
	image := contenttest.NewIndex(child, contenttest.NewImage("linux/arm64", contenttest.NewLayer("kept", 600)))
	for name, lost := range map[string]struct {
		kind string
		what digest.Digest
	}{
		"a blob":     {"fetch", layer.Descriptor.Digest},
		"a manifest": {"manifest", child.Digest()},
	} {
		for _, destinations := range [][]string{{"b.test/app:1"}, {"b.test/app:1", "c.test/app:1"}} {
			t.Run(fmt.Sprintf("%s, %d destinations", name, len(destinations)), func(t *testing.T) {
				w := newWorld()
				image.Push(t, w.at("a.test/app").MemoryRepository, "1")
				w.at("a.test/app").hold = loses(lost.kind, lost.what)
				other := pushed(t, w, "other")
				results := run(t, New(w, Options{}), job("a.test/app:1", destinations...), other)
				ok(t, results[1])
				for _, d := range results[0].Destinations {
					side, found := errors.AsType[*Error](d.Err)
					if !found || side.Side != SideSource || !errors.Is(d.Err, content.ErrNotFound) {
						t.Errorf("%s: %v, want what the source lacks", d.Reference.Familiar(), d.Err)
					}
					at := w.at(d.Reference.Name())
					if at.tag("1") != "" {
						t.Errorf("%s has its tag", d.Reference.Familiar())
					}
					if opened, ended := at.times("opened"), at.times("commit")+at.times("cancel"); opened > ended {
						t.Errorf("%s: %d uploads opened, %d ended", d.Reference.Familiar(), opened, ended)
					}
				}
			})
		}
	}
}

// Another repository still has the blob that the first source has lost.
func TestBlobThatOneSourceHasLostComesFromAnother(t *testing.T) {
	w := newWorld()
	layer := contenttest.NewLayer("shared", 5000)
	for _, name := range []string{"x", "y"} {
		contenttest.NewImage("linux/amd64", layer).Push(t, w.at("a.test/"+name).MemoryRepository, "1")
	}
	w.at("a.test/x").hold = loses("fetch", layer.Descriptor.Digest)
	results := run(t, New(w, Options{}), job("a.test/y:1", "b.test/app:y"), job("a.test/x:1", "b.test/app:x"))
	ok(t, results[0])
	if w.at("b.test/app").tag("y") == "" {
		t.Error("the image whose source is whole did not arrive")
	}
}

// The source goes away in the middle: what was copied stays, the rest fails as the source's.
func TestSourceThatVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		whole, cut := pushed(t, w, "whole"), pushed(t, w, "cut")
		e := New(w, Options{Attempts: 3})
		ok(t, run(t, e, whole)...)
		var planned atomic.Bool
		w.at("a.test/cut").hold = func(_ context.Context, what string, _ digest.Digest) error {
			if what == "fetch" {
				planned.Store(true)
			}
			if planned.Load() {
				return errBroken
			}
			return nil
		}
		result := run(t, e, cut)[0]
		side, found := errors.AsType[*Error](result.Err())
		if !found || side.Side != SideSource || !errors.Is(result.Err(), errBroken) {
			t.Errorf("got %v, want the source's error", result.Err())
		}
		if w.at("b.test/cut").tag("1") != "" || w.at("b.test/whole").tag("1") == "" {
			t.Error("the tags are not those of the images that were copied")
		}
	})
}

// The tag moves after the plan, and the registry drops what only the old image had: the
// report says why, at once.
func TestTagThatMovesAndTakesItsBlobsAlong(t *testing.T) {
	w := newWorld()
	a := w.at("a.test/app")
	image, next := twoPlatforms(""), twoPlatforms("next")
	image.Push(t, a.MemoryRepository, "1")
	var once sync.Once
	a.hold = func(_ context.Context, what string, d digest.Digest) error {
		if what != "fetch" {
			return nil
		}
		once.Do(func() { next.Push(t, a.MemoryRepository, "1") })
		return fmt.Errorf("blob %s: %w", d, content.ErrNotFound)
	}
	result := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))[0]
	if !errors.Is(result.Err(), content.ErrNotFound) || w.at("b.test/app").tag("1") != "" {
		t.Errorf("got %v and the tag %q", result.Err(), w.at("b.test/app").tag("1"))
	}
	if w := result.Warnings; len(w) != 1 || w[0].Kind != warning.TagMoved || w[0].Now != next.Digest() {
		t.Errorf("warnings %v do not say that the tag moved", w)
	}
	a.hold = nil
	ok(t, run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"))...)
	if got := w.at("b.test/app").tag("1"); got != next.Digest() {
		t.Errorf("the next run copied %s, want %s", got, next.Digest())
	}
}

// forgets is a registry that loses a blob after it has answered for it.
type forgets struct {
	*wire
	mu   sync.Mutex
	lost map[digest.Digest]bool
}

func (f *forgets) lose(d digest.Digest, gone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost[d] = gone
}

func (f *forgets) has(d digest.Digest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.lost[d]
}

func (f *forgets) HasBlob(ctx context.Context, d content.Descriptor) (bool, error) {
	there, err := f.wire.HasBlob(ctx, d)
	return there && f.has(d.Digest), err
}

func (f *forgets) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	if !f.has(d.Digest) {
		return f.StartUpload(ctx, d)
	}
	return f.wire.Mount(ctx, d, from)
}

func (f *forgets) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	upload, err := f.wire.StartUpload(ctx, d)
	f.lose(d.Digest, false) // it is about to be there
	return upload, err
}

// toTarget gives one target of its own.
type toTarget struct {
	*world
	target content.Target
}

func (o toTarget) OpenTarget(context.Context, reference.Reference) (content.Target, error) {
	return o.target, nil
}

// Two images share a layer, which the destination loses between them. The run takes it to be
// there; the manifest is refused; it is sent once more.
func TestDestinationThatLosesABlobAfterItWasCopied(t *testing.T) {
	w := newWorld()
	layer := contenttest.NewLayer("shared", 5000)
	for _, tag := range []string{"1", "2"} {
		contenttest.NewImage("linux/amd64", layer, contenttest.NewLayer(tag, 100)).Push(t, w.at("a.test/app").MemoryRepository, tag)
	}
	b := &forgets{wire: w.at("b.test/app"), lost: map[digest.Digest]bool{}}
	b.onPushManifest = func(content.Descriptor, string) error {
		if !b.has(layer.Descriptor.Digest) {
			return fmt.Errorf("manifest blob unknown: %w", content.ErrInvalid)
		}
		return nil
	}
	e := New(toTarget{w, b}, Options{})
	ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
	b.lose(layer.Descriptor.Digest, true)
	ok(t, run(t, e, job("a.test/app:2", "b.test/app:2"))...)
	if !b.has(layer.Descriptor.Digest) || b.tag("2") == "" {
		t.Error("the second image was not completed")
	}
}

// The destination says that it has everything, and refuses the manifest all the same: it is
// believed about the manifest.
func TestManifestThatIsRefusedForGood(t *testing.T) {
	w := newWorld()
	j := pushed(t, w, "app")
	b := w.at("b.test/app")
	b.onPushManifest = func(content.Descriptor, string) error {
		return fmt.Errorf("manifest blob unknown: %w", content.ErrInvalid)
	}
	err := run(t, New(w, Options{}), j)[0].Err()
	side, found := errors.AsType[*Error](err)
	if !found || side.Side != SideDestination || !errors.Is(err, content.ErrInvalid) || b.tag("1") != "" {
		t.Errorf("got %v, tag %q", err, b.tag("1"))
	}
	requireCounts(t, "destination", b, map[string]int{"has": 2, "commit": 2, "put": 0})
}
