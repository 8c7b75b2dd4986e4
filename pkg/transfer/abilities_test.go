package transfer

import (
	"context"
	"io"
	"maps"
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
	kept map[string]bool
}

func (a *abilities) Ability(registry, ability string) (can, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	can, known = a.kept[registry+" "+ability]
	return can, known
}

func (a *abilities) KeepAbility(registry, ability string, can bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[string]bool{}
	}
	a.kept[registry+" "+ability] = can
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
		if can, known := memory.Ability("b.test", abilityProbe); !can || !known {
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

// What is remembered is not true any more: that costs no bytes, and the one question (and
// the end of the upload that it opens) that a longer run asks in any case. It is put right.
func TestWrongMemoryOfProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type cost struct{ requests, sent int64 }
		costs := map[bool]cost{}
		for _, remembered := range []bool{false, true} {
			w := newWorld()
			memory := &abilities{}
			if remembered {
				memory.KeepAbility("b.test", abilityProbe, true)
			}
			image := large("x")
			image.Push(t, w.at("a.test/app").MemoryRepository, "1")
			b := w.at("b.test/app")
			for _, layer := range image.Blobs[1:] { // all but the config are there
				layer.Push(t, b.MemoryRepository)
			}
			b.hold = roundTrip
			e := New(forgetfulOpener{w}, Options{Abilities: memory})
			ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
			costs[remembered] = cost{int64(b.requests()), e.Counters.Sent.Load()}
			if remembered && memory.kept["b.test "+abilityProbe] {
				t.Error("the memory was not put right")
			}
		}
		if with, without := costs[true], costs[false]; with.sent != without.sent || with.requests > without.requests+2 {
			t.Errorf("a wrong memory costs %+v, none %+v", with, without)
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
			memory.KeepAbility("b.test", abilityMount, false)
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
			e := New(w, Options{Abilities: memory})
			for _, j := range jobs {
				ok(t, run(t, e, j)...)
			}
			asked := w.at("b.test/y").times("mount") + w.at("b.test/z").times("mount")
			if !mounts && asked != 1 || mounts && asked < 4 {
				t.Errorf("the registry mounts: %v; it was asked %d times", mounts, asked)
			}
			if got := memory.kept["b.test "+abilityMount]; got != mounts {
				t.Errorf("remembered %v, want %v", memory.kept, mounts)
			}
		})
	}
}

func TestAbilitiesAreLearned(t *testing.T) {
	w := newWorld()
	memory := &abilities{}
	r := New(w, Options{Abilities: memory}).registry(w.at("b.test/x"), ref("b.test/x:1"))
	blob := contenttest.NewLayer("x", 10).Descriptor.Digest
	r.learnPut("x", blob, make(chan struct{}))
	r.mounted("x", blob, mountAnswer{final: true})
	if len(memory.kept) != 0 {
		t.Errorf("a first refusal is remembered: %v", memory.kept)
	}
	r.commit("x", blob)
	r.mounted("x", blob, mountAnswer{final: true, committed: true})
	r.probed(true, false)
	want := map[string]bool{"b.test " + abilityMount: false, "b.test " + abilityProbe: true}
	if !maps.Equal(memory.kept, want) {
		t.Errorf("remembered %v, want %v", memory.kept, want)
	}
}

// A small blob that does not arrive keeps no large one waiting.
func TestSampleIsNotWaitedForInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		memory := &abilities{}
		memory.KeepAbility("b.test", abilityProbe, true)
		image := large("x")
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		config := image.Blobs[0].Descriptor
		started := time.Now()
		var asked time.Duration
		b := w.at("b.test/app")
		var once sync.Once
		b.onHas = func(content.Descriptor) error {
			once.Do(func() { asked = time.Since(started) })
			return nil
		}
		b.onCommit = func(d content.Descriptor, r io.Reader) (io.Reader, error) {
			if d.Digest == config.Digest {
				time.Sleep(time.Hour)
			}
			return r, nil
		}
		e := New(w, Options{Abilities: memory})
		e.moveCheck = 100 * time.Hour
		ok(t, run(t, e, job("a.test/app:1", "b.test/app:1"))...)
		if asked != samplePatience {
			t.Errorf("the large blobs were asked for after %v, want %v", asked, samplePatience)
		}
	})
}
