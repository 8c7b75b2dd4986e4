package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

func decode(raw []byte, into any) {
	if err := json.Unmarshal(raw, into); err != nil {
		panic(err)
	}
}

// sbom is a referrer of an image.
func sbom(of contenttest.Image, seed string) contenttest.Image {
	subject := of.Descriptor()
	subject.Platform = nil
	return contenttest.NewArtifact("application/spdx+json", &subject, contenttest.NewLayer("sbom"+seed, 200))
}

func signatureTag(d digest.Digest) string { return content.FallbackTag(d) + ".sig" }

func withReferrers(j Job) Job { j.Referrers = true; return j }

func TestReferrersAndSignaturesGoAlong(t *testing.T) {
	for name, without := range map[string]struct{ source, destination bool }{
		"both serve the API":       {},
		"the destination does not": {destination: true},
		"the source does not":      {source: true},
		"neither serves it":        {source: true, destination: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			a, b := w.at("a.test/app"), w.at("b.test/app")
			a.noReferrers, b.noReferrers = without.source, without.destination
			image := twoPlatforms("")
			image.Push(t, a.MemoryRepository, "1")
			list := sbom(image, "1")
			ofSBOM := sbom(list, "signature of the sbom")
			ofChild := sbom(image.Children[0], "2")
			for _, r := range []contenttest.Image{list, ofSBOM, ofChild} {
				r.Push(t, a.MemoryRepository, "")
			}
			if a.noReferrers {
				tagLists(t, a, list, ofSBOM, ofChild)
			}
			signature := contenttest.NewArtifact("application/vnd.dev.cosign", nil, contenttest.NewLayer("sig", 50))
			signature.Push(t, a.MemoryRepository, signatureTag(image.Digest()))

			results := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
			ok(t, results...)
			for _, want := range []contenttest.Image{image, list, ofSBOM, ofChild, signature} {
				want.Check(t, b.MemoryRepository)
			}
			if got := b.tag(signatureTag(image.Digest())); got != signature.Digest() {
				t.Errorf("the signature's tag points at %q", got)
			}
			if b.noReferrers {
				requireListed(t, b, list)
				requireListed(t, b, ofSBOM)
				requireListed(t, b, ofChild)
			}
			if last := b.puts[len(b.puts)-1]; last != "1" {
				t.Errorf("the last manifest put is %s, want the tag", last)
			}
			if got := results[0].Destinations[0].Referrers; got != 4 {
				t.Errorf("%d referrers counted, want 4", got)
			}
		})
	}
}

// hostile is a source that also lists an invalid tag and an invalid referrer.
type hostile struct{ *wire }

func (n hostile) Tags(ctx context.Context) iter.Seq2[string, error] {
	return content.ValidNames("tag", content.CheckTag, func(yield func(string, error) bool) {
		if yield("../x", nil) {
			n.wire.Tags(ctx)(yield)
		}
	})
}

func (n hostile) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	listed, err := n.wire.Referrers(ctx, subject)
	if err != nil {
		return nil, err
	}
	return content.ValidDescriptors("referrer", append(listed, content.Descriptor{Digest: "sha256:../x"}))
}

// Invalid entries on a list of referrers are a warning; the valid ones are copied.
func TestInvalidReferrers(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	image := twoPlatforms("")
	image.Push(t, a.MemoryRepository, "1")
	list := sbom(image, "1")
	list.Push(t, a.MemoryRepository, "")
	signature := contenttest.NewArtifact("application/vnd.dev.cosign", nil, contenttest.NewLayer("sig", 50))
	signature.Push(t, a.MemoryRepository, signatureTag(image.Digest()))

	results := run(t, New(opener{w, hostile{a}}, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
	ok(t, results...)
	list.Check(t, b.MemoryRepository)
	signature.Check(t, b.MemoryRepository)
	const want = `ignored 1 invalid referrer: "sha256:../x"`
	if w := results[0].Warnings; len(w) != 1 || w[0].Kind != warning.InvalidReferrers || w[0].Err.Error() != want {
		t.Errorf("warnings: %v, want %s", w, want)
	}
}

// tagLists writes the lists of referrers of a registry without the API.
func tagLists(t *testing.T, at *wire, referrers ...contenttest.Image) {
	t.Helper()
	for _, r := range referrers {
		m, err := content.ParseManifest(r.Descriptor(), r.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		index := contenttest.JSON(ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []content.Descriptor{m.Referrer()}})
		contenttest.Image{Root: index}.Push(t, at.MemoryRepository, content.FallbackTag(m.Subject.Digest))
	}
}

// listAt is the list of referrers that stands under a tag.
func (w *wire) listAt(subject digest.Digest) content.Descriptor {
	d, err := w.MemoryRepository.Resolve(context.Background(), content.FallbackTag(subject))
	if err != nil {
		return content.Descriptor{}
	}
	return d
}

// entries are the digests on the list of referrers that stands under a tag.
func (w *wire) entries(t *testing.T, subject digest.Digest) (digests []digest.Digest) {
	t.Helper()
	list := w.listAt(subject)
	if list.Digest == "" {
		return nil
	}
	m, err := content.FetchAndParse(t.Context(), w.MemoryRepository, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		digests = append(digests, d.Digest)
	}
	return digests
}

func requireListed(t *testing.T, at *wire, referrer contenttest.Image) {
	t.Helper()
	m, err := content.ParseManifest(referrer.Descriptor(), referrer.Root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := content.FetchAndParse(t.Context(), at.MemoryRepository, at.listAt(m.Subject.Digest))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range listed.Manifests {
		if d.Digest == referrer.Digest() && d.ArtifactType == "application/spdx+json" {
			return
		}
	}
	t.Errorf("the list of %s lacks %s: %v", m.Subject.Digest, referrer.Digest(), listed.Manifests)
}

// The destination has a referrer of its own on the list: it stays.
func TestListOfReferrersIsMerged(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	b.noReferrers = true
	image := twoPlatforms("")
	image.Push(t, a.MemoryRepository, "1")
	image.Push(t, b.MemoryRepository, "old")
	theirs, ours := sbom(image, "theirs"), sbom(image, "ours")
	theirs.Push(t, b.MemoryRepository, "")
	tagLists(t, b, theirs)
	ours.Push(t, a.MemoryRepository, "")
	ok(t, run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))...)
	requireListed(t, b, theirs)
	requireListed(t, b, ours)
}

// An image is unchanged, and has been signed since it was mirrored.
func TestSignatureMadeLaterArrives(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	image := twoPlatforms("")
	image.Push(t, a.MemoryRepository, "1")
	image.Push(t, b.MemoryRepository, "1")
	list := sbom(image, "later")
	list.Push(t, a.MemoryRepository, "")
	signature := contenttest.NewArtifact("application/vnd.dev.cosign", nil, contenttest.NewLayer("sig", 50))
	signature.Push(t, a.MemoryRepository, signatureTag(image.Children[1].Digest()))

	results := run(t, New(w, Options{AttachedTags: w.attachedTags}), withReferrers(job("a.test/app:1", "b.test/app:1")))
	ok(t, results...)
	list.Check(t, b.MemoryRepository)
	if got := b.tag(signatureTag(image.Children[1].Digest())); got != signature.Digest() {
		t.Errorf("the signature of a child did not arrive: %q", got)
	}
	d := results[0].Destinations[0]
	if d.Action != ActionUnchanged || d.Referrers != 2 {
		t.Errorf("action %s with %d referrers, want unchanged with 2", d.Action, d.Referrers)
	}

	again := run(t, New(w, Options{AttachedTags: w.attachedTags}), withReferrers(job("a.test/app:1", "b.test/app:1")))
	ok(t, again...)
	if n := again[0].Destinations[0].Referrers; n != 0 {
		t.Errorf("the next run brings %d referrers again", n)
	}
}

// A selection of platforms is another index: what is attached to the source's stays behind.
func TestReferrersOfASelection(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	index, children := threePlatforms()
	index.Push(t, a.MemoryRepository, "1")
	ofIndex, ofKept, ofLeft := sbom(index, "i"), sbom(children[0], "k"), sbom(children[1], "l")
	for _, r := range []contenttest.Image{ofIndex, ofKept, ofLeft} {
		r.Push(t, a.MemoryRepository, "")
	}
	j := withReferrers(job("a.test/app:1", "b.test/app:1"))
	j.Platforms = platforms("linux/amd64", "linux/arm/v7")
	results := run(t, New(w, Options{}), j)
	ok(t, results...)
	ofKept.Check(t, b.MemoryRepository)
	for _, left := range []contenttest.Image{ofIndex, ofLeft} {
		if _, err := b.MemoryRepository.Resolve(t.Context(), left.Digest().String()); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("a referrer of what was not copied arrived: %v", err)
		}
	}
	if w := results[0].Warnings; len(w) != 1 || w[0].Kind != warning.IndexReferrers || w[0].Digest != index.Digest() {
		t.Errorf("warnings %v, want one about the referrers of %s", w, index.Digest())
	}
}

// A fallback tag has half of a sha512: the subject is found by the tag, not the other way round.
func TestReferrersOfSHA512ByTag(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	a.noReferrers, b.noReferrers = true, true
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("sha512", 10)).As(digest.SHA512)
	list := sbom(image, "1")
	image.Push(t, a.MemoryRepository, "1")
	list.Push(t, a.MemoryRepository, "")
	tagLists(t, a, list)
	ok(t, run(t, New(w, Options{AttachedTags: w.attachedTags}), withReferrers(job("a.test/app:1", "b.test/app:1")))...)
	list.Check(t, b.MemoryRepository)
	requireListed(t, b, list)
}
