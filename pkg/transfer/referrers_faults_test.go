package transfer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

func one(seed string) contenttest.Image {
	return contenttest.NewImage("linux/amd64", contenttest.NewLayer("layer "+seed, 100))
}

// A registry refuses one kind of referrer: it gets the other kinds.
func TestRefusalOfOneKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x, y := one("x"), one("y")
		x.Push(t, a.MemoryRepository, "1")
		y.Push(t, a.MemoryRepository, "2")
		odd, sig := sbom(x, "odd"), signature("y")
		odd.Push(t, a.MemoryRepository, "")
		sig.Push(t, a.MemoryRepository, signatureTag(y.Digest()))
		b.onPushManifest = refuses(odd, status(http.StatusUnsupportedMediaType))
		run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
		rs := run(t, New(w, Options{Window: 1}), withReferrers(job("a.test/app:1", "b.test/app:1b")), withReferrers(job("a.test/app:2", "b.test/app:2")))
		for _, r := range rs {
			t.Log(r.Job.Source, r.Err())
		}
		if b.tag(signatureTag(y.Digest())) != sig.Digest() {
			t.Errorf("signature of y is not there; failed=%v", rs[1].Failed())
		}
	})
}

// A source does not serve the blob of a signature: the destination is not taken for one that refuses signatures.
func TestSourceThatRefusesASignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x := one("x")
		sig := signature("x")
		x.Push(t, a.MemoryRepository, "1")
		sig.Push(t, a.MemoryRepository, signatureTag(x.Digest()))
		a.onFetch = fails(sig, status(http.StatusMethodNotAllowed))
		var warned []string
		r := run(t, New(w, Options{Observe: func(e Event) {
			if w, is := e.(Warned); is {
				warned = append(warned, w.Text)
			}
		}}), withReferrers(job("a.test/app:1", "b.test/app:1")))[0]
		t.Logf("failed=%v err=%v warned=%q b has sig: %v", r.Failed(), r.Err(), warned, b.tag(signatureTag(x.Digest())))
		if !r.Failed() {
			t.Error("a signature that cannot be read at the source is no failure")
		}
	})
}

// A repository denies signatures, not images.
func TestDeniedSignatureCostsNoOtherImage(t *testing.T) {
	for _, byTag := range []bool{true, false} {
		t.Run(strconv.FormatBool(byTag), func(t *testing.T) {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			x, y := one("x"), one("y")
			x.Push(t, a.MemoryRepository, "1")
			y.Push(t, a.MemoryRepository, "2")
			sig := signature("x")
			if byTag {
				sig.Push(t, a.MemoryRepository, signatureTag(x.Digest()))
			} else {
				sig = sbom(x, "s")
				sig.Push(t, a.MemoryRepository, "")
			}
			b.onPushManifest = refuses(sig, status(http.StatusForbidden))
			rs := run(t, New(w, Options{Window: 1}), withReferrers(job("a.test/app:1", "b.test/app:1")), withReferrers(job("a.test/app:2", "b.test/app:2")))
			for _, r := range rs {
				t.Log(byTag, r.Job.Source, r.Err())
			}
			if b.tag("1") == "" || b.tag("2") == "" {
				t.Errorf("byTag %v: images missing: 1=%q 2=%q", byTag, b.tag("1"), b.tag("2"))
			}
		})
	}
}

// What is remembered of lists is not believed by a thorough check.
func TestRecheckHealsLostReferrers(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(strconv.FormatBool(own), func(t *testing.T) {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			a.noReferrers, b.noReferrers = true, true
			x := one("x")
			x.Push(t, a.MemoryRepository, "1")
			s := sbom(x, "s")
			s.Push(t, a.MemoryRepository, "")
			tagLists(t, a, s)
			if own { // the destination has one of its own on the list
				o := sbom(x, "own")
				x.Push(t, b.MemoryRepository, "1")
				o.Push(t, b.MemoryRepository, "")
				tagLists(t, b, o)
			}
			d := newDiary()
			j := withReferrers(job("a.test/app:1", "b.test/app:1"))
			ok(t, run(t, New(w, d.options()), j)...)
			if _, err := b.MemoryRepository.Resolve(t.Context(), s.Digest().String()); err != nil {
				t.Fatal(err)
			}
			if err := b.Delete(t.Context(), s.Digest().String()); err != nil {
				t.Fatal(err)
			}
			o := d.options()
			o.Recheck = true
			ok(t, run(t, New(w, o), j)...)
			if _, err := b.MemoryRepository.Resolve(t.Context(), s.Digest().String()); err != nil {
				t.Errorf("own %v: the lost referrer is not healed by --recheck: %v", own, err)
			}
		})
	}
}

// An image with a subject arrives although its list is refused.
func TestImageWhoseListIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		b.noReferrers = true
		x := one("x")
		s := sbom(x, "s")
		s.Push(t, a.MemoryRepository, "sbom-1")
		b.onPushManifest = func(d content.Descriptor, tag string) error {
			if content.IsAttachedTag(tag) {
				return status(http.StatusMethodNotAllowed)
			}
			return nil
		}
		r := run(t, New(w, Options{}), job("a.test/app:sbom-1", "b.test/app:sbom-1"))[0]
		t.Log(r.Err())
		if b.tag("sbom-1") != s.Digest() {
			t.Error("referrers: false, and the tag is missing because the list of referrers was refused")
		}
	})
}

// What stands under the tag of a list and is none stays.
func TestOtherManifestUnderTheTagOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		b.noReferrers = true
		x, other := one("x"), one("other")
		x.Push(t, a.MemoryRepository, "1")
		sbom(x, "s").Push(t, a.MemoryRepository, "")
		other.Push(t, b.MemoryRepository, content.FallbackTag(x.Digest()))
		r := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))[0]
		t.Log(r.Err(), r.Warnings)
		if b.tag(content.FallbackTag(x.Digest())) != other.Digest() {
			t.Error("what is under the tag at the destination was overwritten without a word")
		}
	})
}

// A failure for good does not hide one that passes.
func TestPassingFailureIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x := twoPlatforms("x")
		x.Push(t, a.MemoryRepository, "1")
		s := sbom(x, "s")
		s.Push(t, a.MemoryRepository, "")
		a.onResolve = func(ref string) error {
			if ref == signatureTag(x.Digest()) {
				return status(http.StatusBadRequest) // lasting
			}
			return nil
		}
		n := 0
		a.onReferrers = func() error {
			if n++; n <= 3 {
				return status(http.StatusServiceUnavailable)
			}
			return nil
		}
		r := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))[0]
		t.Log(n, r.Err())
		if _, err := b.MemoryRepository.Resolve(t.Context(), s.Digest().String()); err != nil {
			t.Errorf("API asked %d times, no second attempt; the SBOM: %v", n, err)
		}
	})
}

// A pause that a registry asks for passes: an existing tag waits for its signature.
func TestPausedSignatureHoldsTheTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x, old := one("x"), one("old")
		x.Push(t, a.MemoryRepository, "1")
		old.Push(t, b.MemoryRepository, "1")
		sig := signature("x")
		sig.Push(t, a.MemoryRepository, signatureTag(x.Digest()))
		b.onPushManifest = refuses(sig, &limit.PauseError{Registry: "b.test", Until: time.Now().Add(10 * time.Minute)})
		r := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))[0]
		t.Log(r.Err(), "failed:", r.Failed())
		if b.tag("1") != old.Digest() {
			t.Error("the tag moved to an image whose signature waits for a pause")
		}
	})
}

type localSource struct {
	*wire
}

func (localSource) Rereadable() bool { return true }

type localOpener struct{ *world }

func (o localOpener) OpenSource(_ context.Context, r reference.Reference) (content.Source, error) {
	return localSource{o.at(r.Name())}, nil
}

// What a layout has could not be found out: that is a failure.
func TestListingOfALayoutFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x, old := one("x"), one("old")
		x.Push(t, a.MemoryRepository, "1")
		old.Push(t, b.MemoryRepository, "1")
		sig := signature("x")
		sig.Push(t, a.MemoryRepository, signatureTag(x.Digest()))
		a.onList = func() error { return errors.New("read index.json: too many open files") }
		j := withReferrers(job("a.test/app:1", "b.test/app:1"))
		j.ReferrersRequired = true
		r := run(t, New(localOpener{w}, Options{}), j)[0]
		t.Log(r.Err(), r.Warnings)
		if b.tag(signatureTag(x.Digest())) == "" && !r.Failed() {
			t.Errorf("required: the tag moved (%v) without its signature, no error", b.tag("1") == x.Digest())
		}
	})
}

// A new tag is written although the run ends before its signature is there.
func TestDrainWritesANewTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x := one("x")
		x.Push(t, a.MemoryRepository, "1")
		sig := signature("x")
		sig.Push(t, a.MemoryRepository, signatureTag(x.Digest()))
		b.hold = func(ctx context.Context, what string, d digest.Digest) error {
			if what == "probe" && slices.ContainsFunc(sig.Blobs, func(b contenttest.Blob) bool { return b.Descriptor.Digest == d }) {
				return retry.Sleep(ctx, time.Hour)
			}
			return nil
		}
		rs, err := drained(t, w, time.Minute, Options{}, withReferrers(job("a.test/app:1", "b.test/app:1")))
		t.Log(rs, err)
		if b.tag("1") != x.Digest() {
			t.Error("drain: the image is complete, its new tag is not written")
		}
	})
}

// An immutable tag whose signature was left out is not remembered as copied.
func TestIncompleteImmutableTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x := one("x")
		x.Push(t, a.MemoryRepository, "1")
		sig := signature("x")
		sig.Push(t, a.MemoryRepository, signatureTag(x.Digest()))
		b.onPushManifest = refuses(sig, status(http.StatusMethodNotAllowed))
		j := withReferrers(job("a.test/app:1", "b.test/app:1"))
		j.Immutable = true
		memory := &copies{}
		run(t, New(w, Options{Copies: memory}), j)
		b.onPushManifest = nil
		run(t, New(w, Options{Copies: memory}), j)
		if b.tag(signatureTag(x.Digest())) == "" {
			t.Error("remembered as copied with all that goes along; the signature never comes")
		}
	})
}

// A destination that counts pulls is not read for the platforms of an unchanged image.
func TestDestinationThatCountsPulls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		b.countsPulls = true
		x := twoPlatforms("x")
		x.Push(t, a.MemoryRepository, "1")
		x.Push(t, b.MemoryRepository, "1")
		r := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))[0]
		t.Log(r.Err(), r.Warnings, b.times("manifest"))
		if b.times("manifest") > 0 {
			t.Error("manifests are read at a destination that counts pulls")
		}
	})
}

var _ = slices.Contains[[]string]

var _ = errors.Is

var _ io.Reader

var _ digest.Digest

// The delivery that copies a signature for two tags ends first: the other one copies it.
func TestSharedSignatureOutlivesItsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x := one("x")
		sig := signature("x")
		sig.Push(t, a.MemoryRepository, signatureTag(x.Digest()))
		x.Push(t, a.MemoryRepository, "1")
		x.Push(t, a.MemoryRepository, "2")
		b.hold = func(ctx context.Context, what string, d digest.Digest) error {
			if what == "commit" && d == sig.Blobs[1].Descriptor.Digest {
				return retry.Sleep(ctx, 5*time.Minute)
			}
			return nil
		}
		j1, j2 := withReferrers(job("a.test/app:1", "b.test/app:1")), withReferrers(job("a.test/app:2", "b.test/app:2"))
		j1 = ofEntry(j1, "one", time.Minute)
		start := time.Now()
		rs := run(t, New(w, Options{}), j1, j2)
		t.Log(time.Since(start))
		for _, r := range rs {
			t.Log(r.Job.Source, r.Err())
		}
		if b.tag(signatureTag(x.Digest())) == "" || b.tag("2") == "" {
			t.Error("2 is not there")
		}
	})
}

// A refusal that was met before holds back a tag that requires its signature.
func TestRefusedThenRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		a, b := w.at("a.test/app"), w.at("b.test/app")
		x, y := one("x"), one("y")
		x.Push(t, a.MemoryRepository, "1")
		y.Push(t, a.MemoryRepository, "2")
		odd, sig := sbom(x, "odd"), signature("y")
		odd.Push(t, a.MemoryRepository, "")
		sig.Push(t, a.MemoryRepository, signatureTag(y.Digest()))
		b.onPushManifest = refuses(odd, status(http.StatusUnsupportedMediaType))
		j2 := withReferrers(job("a.test/app:2", "b.test/app:2"))
		j2.ReferrersRequired = true
		rs := run(t, New(w, Options{Window: 1}), withReferrers(job("a.test/app:1", "b.test/app:1")), j2)
		t.Log(rs[1].Err())
		if b.tag("2") == "" {
			t.Error("required: 2 is held back although its signature would be accepted")
		}
	})
}

var _ = content.ErrInvalid
