package transfer

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

// abilities is an AbilityMemory in memory.
type abilities struct {
	mu   sync.Mutex
	kept map[string]string
}

func (a *abilities) Ability(registry, ability string) (seen string, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen, known = a.kept[registry+" "+ability]
	return seen, known
}

func (a *abilities) KeepAbility(registry, ability, seen string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[string]string{}
	}
	a.kept[registry+" "+ability] = seen
}

// roundTrip makes every request take a while, as over a network.
func roundTrip(ctx context.Context, _ string, _ digest.Digest) error {
	time.Sleep(20 * time.Millisecond)
	return ctx.Err()
}

// large is an image of three layers over a mebibyte, told apart by a seed.
func large(seed string) contenttest.Image {
	return contenttest.NewImage("linux/amd64", contenttest.NewLayer(seed+"a", probeLimit+1),
		contenttest.NewLayer(seed+"b", probeLimit+2), contenttest.NewLayer(seed+"c", probeLimit+3))
}

// The first run asks for large blobs by HEAD and learns by the way that there is a cheaper
// one; the second takes that from its first image on.
func TestProbesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		memory := &abilities{}
		b := w.at("b.test/app")
		b.hold = roundTrip
		var heads []int
		for _, tag := range []string{"1", "2"} {
			large(tag).Push(t, w.at("a.test/app").MemoryRepository, tag)
			before := b.times("has")
			ok(t, run(t, New(w, Options{Abilities: memory}), job("a.test/app:"+tag, "b.test/app:"+tag))...)
			heads = append(heads, b.times("has")-before)
		}
		if heads[0] != 3 || heads[1] != 0 {
			t.Errorf("%d and then %d large blobs were asked for by HEAD, want 3 and none", heads[0], heads[1])
		}
		if seen, _ := memory.Ability("b.test", "probe"); seen != "yes" {
			t.Errorf("remembered %v", memory.kept)
		}
	})
}

// forgetful is a registry that opens an upload although the blob is there.
type forgetful struct{ *wire }

func (f forgetful) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	if from != f.Location().Repository {
		return f.wire.Mount(ctx, d, from)
	}
	if err := f.held(ctx, "probe", d.Digest); err != nil {
		return nil, err
	}
	return f.StartUpload(ctx, d)
}

type forgetfulOpener struct{ *world }

func (o forgetfulOpener) OpenTarget(_ context.Context, ref reference.Reference) (content.Target, error) {
	return forgetful{o.at(ref.Name())}, nil
}

// What is remembered is not true any more: this run puts it right, and the next one sends
// nothing that is there.
func TestWrongMemoryOfProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &abilities{}
		memory.KeepAbility("b.test", "probe", "yes")
		for night := range 2 {
			w := newWorld()
			image := large("x")
			image.Push(t, w.at("a.test/app").MemoryRepository, "1")
			b := w.at("b.test/app")
			for _, layer := range image.Blobs[1:] { // all but the config are there
				layer.Push(t, b.MemoryRepository)
			}
			e := New(forgetfulOpener{w}, Options{Abilities: memory})
			ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
			if memory.kept["b.test probe"] != "no" {
				t.Error("the memory was not put right")
			}
			if sent := e.Counters.Sent.Load(); night == 1 && sent != image.Blobs[0].Descriptor.Size {
				t.Errorf("%d bytes were sent, want those of the configuration", sent)
			}
		}
	})
}

// A registry that does not mount is not asked for it in the next run, but for one blob; where
// that is granted, it is asked again.
func TestMountsAreRemembered(t *testing.T) {
	for _, mounts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			memory := &abilities{}
			memory.KeepAbility("b.test", "mount", "no")
			var jobs []Job
			base := []contenttest.Blob{contenttest.NewLayer("1", 5000), contenttest.NewLayer("2", 5000), contenttest.NewLayer("3", 5000)}
			for _, name := range []string{"x", "y", "z"} {
				contenttest.NewImage("linux/amd64", append(base, contenttest.NewLayer(name, 50))...).
					Push(t, w.at("a.test/"+name).MemoryRepository, "1")
				jobs = append(jobs, job("a.test/"+name+":1", "b.test/"+name+":1"))
				w.at("b.test/" + name).onMount = func(from string) error {
					if from != name && !mounts {
						return content.ErrNotMounted
					}
					return nil
				}
			}
			ok(t, run(t, New(w, Options{Abilities: memory, Window: 1}), jobs...)...)
			asked := w.at("b.test/y").times("mount") + w.at("b.test/z").times("mount")
			if !mounts && asked != 1 || mounts && asked < 4 {
				t.Errorf("the registry mounts: %v; it was asked %d times", mounts, asked)
			}
			want := map[bool]string{true: "yes", false: "no"}[mounts]
			if got := memory.kept["b.test mount"]; got != want {
				t.Errorf("remembered %v, want %s", memory.kept, want)
			}
		})
	}
}
