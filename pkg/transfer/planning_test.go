package transfer

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// The digest is at the destination, and the tag is not: naming both moves the tag.
func TestDestinationWithTagAndDigest(t *testing.T) {
	w := newWorld()
	image := twoPlatforms("")
	image.Push(t, w.at("a.test/app").MemoryRepository, "1")
	image.Push(t, w.at("b.test/app").MemoryRepository, "")
	twoPlatforms("old").Push(t, w.at("b.test/app").MemoryRepository, "2")
	at := "@" + image.Digest().String()
	results := run(t, New(w, Options{}), job("a.test/app:1", "b.test/app:1"+at, "b.test/app:2"+at))
	ok(t, results...)
	for i, want := range []Action{ActionAdd, ActionMove} {
		if got := results[0].Destinations[i].Action; got != want {
			t.Errorf("%s: action %q, want %q", results[0].Destinations[i].Reference.Familiar(), got, want)
		}
	}
	for _, tag := range []string{"1", "2"} {
		if got := w.at("b.test/app").tag(tag); got != image.Digest() {
			t.Errorf("tag %s points at %q", tag, got)
		}
	}
}

// Two tags of one image bring its referrer; the registry keeps the list itself, and the
// second tag must not make it a list under a tag as well.
func TestReferrerOfEqualTags(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	image := twoPlatforms("")
	image.Push(t, a.MemoryRepository, "1")
	image.Push(t, a.MemoryRepository, "latest")
	sbom(image, "1").Push(t, a.MemoryRepository, "")
	e := New(w, Options{})
	ok(t, run(t, e, withReferrers(job("a.test/app:1", "b.test/app:1")))...)
	ok(t, run(t, e, withReferrers(job("a.test/app:latest", "b.test/app:latest")))...)
	if got := b.tag(content.FallbackTag(image.Digest())); got != "" {
		t.Errorf("a list of referrers stands under a tag: %s", got)
	}
}

// A registry whose referrers API breaks is not taken for one that has none.
func TestBrokenReferrersListing(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	image := twoPlatforms("")
	list := sbom(image, "1")
	for _, at := range []*wire{a, b} {
		image.Push(t, at.MemoryRepository, "1")
		list.Push(t, at.MemoryRepository, "")
	}
	b.onReferrers = func() error { return errBroken }
	results := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
	if err := results[0].Err(); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
	if got := b.tag(content.FallbackTag(image.Digest())); got != "" {
		t.Errorf("a list of referrers stands under a tag: %s", got)
	}
}

// A list of referrers names one that the registry has collected: the image is copied, and the
// failure names the referrer.
func TestReferrerThatIsGone(t *testing.T) {
	w := newWorld()
	a := w.at("a.test/app")
	a.noReferrers = true
	image := twoPlatforms("")
	image.Push(t, a.MemoryRepository, "1")
	gone := sbom(image, "gone")
	listed := contenttest.NewIndex(gone)
	gone.Push(t, a.MemoryRepository, "")
	contenttest.Image{Root: listed.Root}.Push(t, a.MemoryRepository, content.FallbackTag(image.Digest()))
	if err := a.Delete(t.Context(), gone.Digest().String()); err != nil {
		t.Fatal(err)
	}
	results := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
	failed, is := errors.AsType[*ReferrersError](results[0].Err())
	if !is || !failed.Tagged || !strings.Contains(failed.Error(), "referrer "+gone.Digest().String()) {
		t.Errorf("got %v, want an error about the referrer", results[0].Err())
	}
	image.Check(t, w.at("b.test/app").MemoryRepository)
}

// The tag moves while the attachments of its old image are read: none of those goes along.
func TestMovedTagLeavesItsOldReferrersBehind(t *testing.T) {
	w := newWorld()
	a := w.at("a.test/app")
	image, other := twoPlatforms(""), twoPlatforms("other")
	image.Push(t, a.MemoryRepository, "1")
	list := sbom(image, "1")
	list.Push(t, a.MemoryRepository, "")
	signature := contenttest.NewArtifact("application/vnd.dev.cosign", nil, contenttest.NewLayer("sig", 50))
	signature.Push(t, a.MemoryRepository, signatureTag(list.Digest()))
	gone := &vanishing{wire: a, digest: signature.Digest().String()}
	a.onResolve = func(reference string) error {
		if reference == signatureTag(list.Digest()) {
			other.Push(t, a.MemoryRepository, "1")
		}
		return nil
	}
	results := run(t, New(opener{source: gone, world: w}, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
	ok(t, results...)
	if got := w.at("b.test/app").tag("1"); got != other.Digest() {
		t.Errorf("copied %s, want %s", got, other.Digest())
	}
	if _, err := w.at("b.test/app").MemoryRepository.Resolve(t.Context(), list.Digest().String()); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("a referrer of the old image arrived: %v", err)
	}
}

// An image that is no index lacks the other platforms, and they were required.
func TestRequiredPlatformsOfASingleImage(t *testing.T) {
	for _, there := range []bool{false, true} {
		w := newWorld()
		image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 10))
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		if there {
			image.Push(t, w.at("b.test/app").MemoryRepository, "1")
		}
		j := job("a.test/app:1", "b.test/app:1")
		j.Platforms, j.RequirePlatforms = platforms("linux/amd64", "linux/arm64"), true
		if err := run(t, New(w, Options{}), j)[0].Err(); !errors.Is(err, ErrNoPlatform) {
			t.Errorf("with the image at the destination %v: got %v, want %v", there, err, ErrNoPlatform)
		}
	}
}

// A destination that accepts a connection and never answers holds up no other.
func TestDestinationThatHangsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		image := twoPlatforms("")
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		w.at("b.test/app").onResolve = func(string) error {
			time.Sleep(time.Minute)
			return errBroken
		}
		w.at("d.test/app").onResolve = func(string) error {
			time.Sleep(10 * time.Second) // slow, and well
			return nil
		}
		start := time.Now()
		ended := map[string]time.Duration{}
		var mu sync.Mutex
		e := New(w, Options{Observe: func(ev Event) {
			if done, is := ev.(DestinationDone); is {
				mu.Lock()
				defer mu.Unlock()
				ended[done.Result.Reference.Registry] = time.Since(start)
			}
		}})
		e.moveCheck = time.Hour
		result := run(t, e, job("a.test/app:1", "b.test/app:1", "c.test/app:1", "d.test/app:1"))[0]
		if ended["c.test"] > 2*time.Second {
			t.Errorf("the healthy destination was done after %v", ended["c.test"])
		}
		if ended["d.test"] != 10*time.Second || w.at("d.test/app").tag("1") != image.Digest() {
			t.Errorf("the slow destination was done after %v, with %q", ended["d.test"], w.at("d.test/app").tag("1"))
		}
		var order []string
		for _, d := range result.Destinations {
			order = append(order, d.Reference.Registry)
		}
		if want := []string{"b.test", "c.test", "d.test"}; !slices.Equal(order, want) {
			t.Errorf("results in the order %v, want %v", order, want)
		}
		if !errors.Is(result.Destinations[0].Err, errBroken) || result.Destinations[1].Err != nil || result.Destinations[2].Err != nil {
			t.Errorf("results %+v", result.Destinations)
		}
		if got := e.Counters.Reread.Load(); got != e.Counters.Sent.Load()/2 {
			t.Errorf("%d of %d bytes read again, want those for the slow destination", got, e.Counters.Sent.Load())
		}
		if got := w.at("a.test/app").times("fetch"); got != 7 {
			t.Errorf("%d blobs left the source, want 7", got)
		}
	})
}

// A source that lacks the tag is told at once, whatever the destinations do.
func TestMissingSourceWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.at("b.test/app").onResolve = func(string) error { time.Sleep(time.Second); return nil }
		start := time.Now()
		var took time.Duration
		j := job("a.test/app:1", "b.test/app:1")
		j.RequireSource = true // else the destination decides whether that is a failure
		err := New(w, Options{}).Run(t.Context(), slices.Values([]Job{j}),
			func(r *Result) { took = time.Since(start) })
		if err != nil || took != 0 {
			t.Errorf("%v after %v", err, took)
		}
	})
}
