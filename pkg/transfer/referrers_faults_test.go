package transfer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
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

// signed is one image with a signature at the source a, to be copied to b.
type signed struct {
	*world
	a, b             *wire
	image, signature contenttest.Image
	tag              string // of the signature
	job              Job
}

func newSigned(t *testing.T) *signed {
	w, image := newWorld(), one("x")
	s := &signed{
		world: w, a: w.at("a.test/app"), b: w.at("b.test/app"),
		image: image, signature: signature("x"), tag: signatureTag(image.Digest()),
		job: withReferrers(job("a.test/app:1", "b.test/app:1")),
	}
	s.image.Push(t, s.a.MemoryRepository, "1")
	s.signature.Push(t, s.a.MemoryRepository, s.tag)
	return s
}

// older puts another image under the tag at the destination.
func (s *signed) older(t *testing.T) digest.Digest {
	old := one("old")
	old.Push(t, s.b.MemoryRepository, "1")
	return old.Digest()
}

// arrived reports whether the destination has the signature.
func (s *signed) arrived() bool { return s.b.tag(s.tag) == s.signature.Digest() }

// A registry refuses one kind of referrer: it gets the other kinds, also where they are required.
func TestRefusalOfOneKind(t *testing.T) {
	for _, required := range []bool{false, true} {
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
			second := withReferrers(job("a.test/app:2", "b.test/app:2"))
			second.ReferrersRequired = required
			rs := run(t, New(w, Options{Window: 1}), withReferrers(job("a.test/app:1", "b.test/app:1b")), second)
			ok(t, rs[1])
			if b.tag(signatureTag(y.Digest())) != sig.Digest() || b.tag("2") != y.Digest() {
				t.Errorf("required %v: the signature of y is %q, its tag %q", required, b.tag(signatureTag(y.Digest())), b.tag("2"))
			}
		})
	}
}

// A source does not serve the blob of a signature: the destination is not taken for one that refuses signatures.
func TestSourceThatRefusesASignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigned(t)
		s.a.onFetch = fails(s.signature, status(http.StatusMethodNotAllowed))
		r := run(t, New(s, Options{}), s.job)[0]
		if !r.Failed() || r.Destinations[0].Refused != 0 {
			t.Errorf("a signature that cannot be read at the source: got %v, %d refused, want a failure", r.Err(), r.Destinations[0].Refused)
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
			run(t, New(w, Options{Window: 1}), withReferrers(job("a.test/app:1", "b.test/app:1")), withReferrers(job("a.test/app:2", "b.test/app:2")))
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
		if !r.Failed() || b.tag("sbom-1") != s.Digest() {
			t.Errorf("the list is refused: got %v and %v, want a failure and the tag", r.Err(), b.tag("sbom-1"))
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
		if len(r.Warnings) == 0 && r.Err() == nil || b.tag(content.FallbackTag(x.Digest())) != other.Digest() {
			t.Errorf("another manifest under the tag of a list: got %v, warnings %v", r.Err(), r.Warnings)
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
		var n atomic.Int32
		a.onReferrers = func() error {
			if n.Add(1) <= 3 {
				return status(http.StatusServiceUnavailable)
			}
			return nil
		}
		run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
		if _, err := b.MemoryRepository.Resolve(t.Context(), s.Digest().String()); err != nil {
			t.Errorf("API asked %d times, no second attempt; the SBOM: %v", n.Load(), err)
		}
	})
}

// A pause that a registry asks for passes: an existing tag waits for its signature.
func TestPausedSignatureHoldsTheTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigned(t)
		old := s.older(t)
		s.b.onPushManifest = refuses(s.signature, &limit.PauseError{Registry: "b.test", Until: time.Now().Add(10 * time.Minute)})
		r := run(t, New(s, Options{}), s.job)[0]
		if r.Err() == nil || s.b.tag("1") != old {
			t.Errorf("got %v and %v, want that the tag waits for a signature that a pause holds up", r.Err(), s.b.tag("1"))
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
		s := newSigned(t)
		old := s.older(t)
		s.a.onList = func() error { return errors.New("read index.json: too many open files") }
		s.job.ReferrersRequired = true
		r := run(t, New(localOpener{s.world}, Options{}), s.job)[0]
		if !r.Failed() || s.b.tag("1") != old {
			t.Errorf("required: got %v and %v, want a failure and the tag as it was", r.Err(), s.b.tag("1"))
		}
	})
}

// A new tag is written although the run ends before its signature is there.
func TestDrainWritesANewTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigned(t)
		s.b.hold = func(ctx context.Context, what string, d digest.Digest) error {
			if what == "probe" && slices.ContainsFunc(s.signature.Blobs, func(b contenttest.Blob) bool { return b.Descriptor.Digest == d }) {
				return retry.Sleep(ctx, time.Hour)
			}
			return nil
		}
		results, _ := drained(t, s.world, time.Minute, Options{}, s.job)
		if s.b.tag("1") != s.image.Digest() {
			t.Errorf("the image is complete, its new tag is not written: %v", results)
		}
	})
}

// An immutable tag whose signature was left out is not remembered as copied.
func TestIncompleteImmutableTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigned(t)
		s.b.onPushManifest = refuses(s.signature, status(http.StatusMethodNotAllowed))
		s.job.Immutable = true
		memory := &copies{}
		r := run(t, New(s, Options{Copies: memory}), s.job)[0]
		if r.Failed() || r.Destinations[0].Refused != 1 {
			t.Fatalf("got %v, %d refused, want 1 and no failure", r.Err(), r.Destinations[0].Refused)
		}
		s.b.onPushManifest = nil
		ok(t, run(t, New(s, Options{Copies: memory}), s.job)...)
		if !s.arrived() {
			t.Error("remembered as copied with its signature, which never comes")
		}
	})
}

// An entry that cannot be read may be a signature: a failure where referrers are required, otherwise a warning.
func TestIncompleteSearch(t *testing.T) {
	for _, required := range []bool{false, true} {
		t.Run(strconv.FormatBool(required), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSigned(t)
				s.job.ReferrersRequired = required
				r := run(t, New(opener{s.world, hostile{s.a}}, Options{}), s.job)[0]
				if r.Failed() != required || (s.b.tag("1") != "") == required {
					t.Errorf("got %v and %v", r.Err(), s.b.tag("1"))
				}
			})
		})
	}
}

// Where referrers come with the copy only, an unchanged image gets them in a thorough run.
func TestRecheckBringsReferrersOfUnchangedImages(t *testing.T) {
	for _, recheck := range []bool{false, true} {
		t.Run(strconv.FormatBool(recheck), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSigned(t)
				s.image.Push(t, s.b.MemoryRepository, "1")
				s.job.ReferrersOnCopy = true
				ok(t, run(t, New(s, Options{Recheck: recheck}), s.job)...)
				if s.arrived() != recheck {
					t.Errorf("the signature is there: %v, want %v", s.arrived(), recheck)
				}
			})
		})
	}
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
		ok(t, run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))...)
		if b.times("manifest") > 0 {
			t.Error("manifests are read at a destination that counts pulls")
		}
	})
}

// The delivery that copies a signature for two tags ends first: the other one copies it.
func TestSharedSignatureOutlivesItsDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSigned(t)
		s.image.Push(t, s.a.MemoryRepository, "2")
		s.b.hold = func(ctx context.Context, what string, d digest.Digest) error {
			if what == "commit" && d == s.signature.Blobs[1].Descriptor.Digest {
				return retry.Sleep(ctx, 5*time.Minute)
			}
			return nil
		}
		rs := run(t, New(s, Options{}), ofEntry(s.job, "one", time.Minute), withReferrers(job("a.test/app:2", "b.test/app:2")))
		ok(t, rs[1])
		if !s.arrived() || s.b.tag("2") == "" {
			t.Errorf("the second tag: %v, its signature: %v", s.b.tag("2"), s.b.tag(s.tag))
		}
	})
}
