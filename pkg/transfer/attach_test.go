package transfer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/content"
)

// A signature and a referrer are made after the image was mirrored: they arrive, and of the
// image nothing moves. The plan says so before.
func TestMadeSinceArrives(t *testing.T) {
	for name, remembered := range map[string]*diary{"with a memory": newDiary(), "without one": nil} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			m.next(t, remembered.options(), m.jobs()...)
			late := sbom(m.image, "late")
			late.Push(t, m.a.MemoryRepository, "")
			tagLists(t, m.a, m.sbom)
			appendToList(t, m.a, m.sbom, late)
			second := signature("a second one")
			second.Push(t, m.a.MemoryRepository, signatureTag(m.image.Children[1].Digest()))

			if got := m.planned(t, remembered.options(), m.jobs()[0]); got != 2 {
				t.Errorf("the plan says that %d are lacking, want 2", got)
			}
			m.a.forget()
			m.b.forget()
			options := remembered.options()
			options.AttachedTags = m.world.attachedTags
			e := New(m.world, options)
			results := run(t, e, m.jobs()...)
			ok(t, results...)
			if got := brought(results); got != 2 {
				t.Errorf("%d were brought, want 2", got)
			}
			late.Check(t, m.b.MemoryRepository)
			m.everythingIsThere(t)
			if got, want := e.Counters.Sent.Load(), int64(200+50); got != want {
				t.Errorf("%d bytes sent, want the %d of the two new blobs", got, want)
			}
			for _, child := range m.image.Children {
				for _, blob := range child.Blobs {
					if got := m.a.times("fetch " + blob.Descriptor.Digest.String()); got != 0 {
						t.Errorf("a blob of the image was fetched")
					}
				}
			}
			m.next(t, remembered.options(), m.jobs()...)
			requireCounts(t, "the next night, source", m.a, map[string]int{"manifest": 0})
			requireCounts(t, "the next night, destination", m.b, map[string]int{"put": 0})
		})
	}
}

// Three tags of one image: its signatures are put once, after it and before the tags.
// Harbor refuses a signature of what it does not have.
func TestSignaturesArePutOnceAndInOrder(t *testing.T) {
	m := newMirror(t)
	m.b.onPushManifest = func(_ content.Descriptor, tag string) error {
		name, isSignature := strings.CutSuffix(tag, ".sig")
		if _, err := m.b.MemoryRepository.Resolve(t.Context(), strings.Replace(name, "-", ":", 1)); isSignature && err != nil {
			return err
		}
		return nil
	}
	m.image.Push(t, m.a.MemoryRepository, "stable")
	m.next(t, Options{}, append(m.jobs(), withReferrers(job("a.test/app:stable", "b.test/app:stable")))...)
	counts := map[string]int{}
	puts := m.b.putNames()
	for i, name := range puts {
		if counts[name]++; counts[name] > 1 {
			t.Errorf("%s is put twice: %v", name, puts)
		}
		if name == "1" && !slices.Contains(puts[:i], signatureTag(m.image.Digest())) {
			t.Errorf("the tag is put before the signature: %v", puts)
		}
	}
	signed := signatureTag(m.image.Digest())
	requireCounts(t, "destination", m.b, map[string]int{"resolve " + signed: 0})
	requireCounts(t, "source", m.a, map[string]int{"resolve " + signed: 0, "pull " + signed: 1})
}

// A tag is added for an image that is there with its signature, in a registry where tags
// do not change: what is there is not put again.
func TestSignatureThatIsThereIsNotPutAgain(t *testing.T) {
	m := newMirror(t)
	m.next(t, Options{}, m.jobs()[0])
	m.b.onPushManifest = func(_ content.Descriptor, tag string) error {
		if tag != "" && m.b.tag(tag) != "" {
			return content.ErrDenied
		}
		return nil
	}
	results := m.next(t, Options{}, m.jobs()[1])
	if got := m.b.tag("latest"); got != m.image.Digest() {
		t.Errorf("the tag is %q: %v", got, results[0].Err())
	}
}

// A destination that cannot be asked for what is attached fails alone.
func TestAttachmentsAtABrokenDestination(t *testing.T) {
	m := newMirror(t)
	c := m.world.at("c.test/app")
	j := withReferrers(job("a.test/app:1", "b.test/app:1", "c.test/app:1"))
	m.next(t, Options{}, j)
	second := signature("second")
	second.Push(t, m.a.MemoryRepository, signatureTag(m.image.Digest()))
	m.b.onResolve = func(reference string) error {
		if strings.HasPrefix(reference, "sha256-") {
			return content.ErrDenied
		}
		return nil
	}
	got := run(t, New(m.world, Options{}), j)[0].Destinations
	side, isSided := errors.AsType[*Error](got[0].Err)
	if !isSided || side.Side != SideDestination || side.Reference.Registry != "b.test" || !errors.Is(got[0].Err, content.ErrDenied) {
		t.Errorf("got %v, want a denial by b.test", got[0].Err)
	}
	if got[1].Err != nil || c.tag(signatureTag(m.image.Digest())) != second.Digest() {
		t.Errorf("the other destination did not get the signature: %v", got[1].Err)
	}
}
