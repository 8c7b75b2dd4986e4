package transfer

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// appendToList writes the list of the subject of several referrers.
func appendToList(t *testing.T, at *wire, referrers ...contenttest.Image) {
	t.Helper()
	var entries []content.Descriptor
	var subject digest.Digest
	for _, r := range referrers {
		m, err := content.ParseManifest(r.Descriptor(), r.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		entries, subject = append(entries, m.Referrer()), m.Subject.Digest
	}
	pushList(t, at, subject, entries)
}

func pushList(t *testing.T, at *wire, subject digest.Digest, entries []content.Descriptor) {
	t.Helper()
	slices.SortFunc(entries, func(a, b content.Descriptor) int { return cmp.Compare(a.Digest, b.Digest) })
	index := contenttest.JSON(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: entries,
	})
	contenttest.Image{Root: index}.Push(t, at.MemoryRepository, content.FallbackTag(subject))
}

// Where the destination has referrers of its own its list stays another than the source's:
// it is compared once and remembered.
func TestMergedListIsRemembered(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	m.image.Push(t, m.b.MemoryRepository, "1")
	theirs := sbom(m.image, "theirs")
	theirs.Push(t, m.b.MemoryRepository, "")
	tagLists(t, m.b, theirs)
	j := m.jobs()[0]
	m.next(t, memory.options(), j)
	requireListed(t, m.b, theirs)
	requireListed(t, m.b, m.sbom)
	for night := range 2 {
		results := m.next(t, memory.options(), j)
		if brought(results) != 0 {
			t.Errorf("night %d: %d are brought again", night, brought(results))
		}
		requireCounts(t, "source", m.a, map[string]int{"manifest": 0})
		requireCounts(t, "destination", m.b, map[string]int{"manifest": 0, "put": 0})
	}
	requireListed(t, m.b, theirs)
}

// The destination's list has lost an entry, or the manifest of one: both are mended.
func TestLostReferrerIsMended(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	other := sbom(m.image, "another")
	other.Push(t, m.a.MemoryRepository, "")
	appendToList(t, m.a, m.sbom, other)
	j := m.jobs()[0]
	m.next(t, memory.options(), j)
	want := m.b.listAt(m.image.Digest()).Digest

	tagLists(t, m.b, other)
	if err := m.b.Delete(t.Context(), m.sbom.Digest().String()); err != nil {
		t.Fatal(err)
	}
	if got := m.planned(t, memory.options(), j); got != 1 {
		t.Errorf("the plan says that %d are lacking, want 1", got)
	}
	m.next(t, memory.options(), j)
	if got := m.b.listAt(m.image.Digest()).Digest; got != want {
		t.Errorf("the list is %s, want that of the source, %s", got, want)
	}
	m.sbom.Check(t, m.b.MemoryRepository)
}

// Only some types go along: the list of those is one of its own.
func TestReferrerTypes(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	subject := m.image.Descriptor()
	scan := contenttest.NewArtifact("application/vnd.example.scan", &subject, contenttest.NewLayer("scan", 20))
	scan.Push(t, m.a.MemoryRepository, "")
	appendToList(t, m.a, m.sbom, scan)
	attestation := signature("attestation")
	attestation.Push(t, m.a.MemoryRepository, content.FallbackTag(m.image.Digest())+".att")
	j := m.jobs()[0]
	j.ReferrerTypes = []string{"application/vnd.example.scan", "application/vnd.dev.cosign.artifact.att.v1+json"}
	if got := brought(m.next(t, memory.options(), j)); got != 2 {
		t.Errorf("%d are brought, want 2", got)
	}
	scan.Check(t, m.b.MemoryRepository)
	if got := m.b.tag(content.FallbackTag(m.image.Digest()) + ".att"); got != attestation.Digest() {
		t.Errorf("the attestation is %q", got)
	}
	if got := m.b.tag(signatureTag(m.image.Digest())); got != "" {
		t.Errorf("a signature came along: %s", got)
	}
	if _, err := m.b.MemoryRepository.Resolve(t.Context(), m.sbom.Digest().String()); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("an SBOM came along: %v", err)
	}
	m.next(t, memory.options(), j)
	requireCounts(t, "source", m.a, map[string]int{"manifest": 0})
	requireCounts(t, "destination", m.b, map[string]int{"manifest": 0, "put": 0})
}

// Tools that delete referrers leave an empty list: it is read once, and no list is made for it.
func TestEmptyListOfReferrers(t *testing.T) {
	m, memory := newMirror(t), newDiary()
	child := m.image.Children[0].Digest()
	pushList(t, m.a, child, []content.Descriptor{})
	for range 2 {
		m.next(t, memory.options(), m.jobs()[0])
	}
	requireCounts(t, "source", m.a, map[string]int{"manifest": 0})
	if got := m.b.tag(content.FallbackTag(child)); got != "" {
		t.Errorf("a list %s was made of nothing", got)
	}
}

// An image that is attached to another one is put on that one's list, at a registry without the API.
func TestImageWithASubjectIsListed(t *testing.T) {
	for name, without := range map[string]bool{"API": false, "tags": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			b := w.at("b.test/app")
			b.noReferrers = without
			subject := twoPlatforms("")
			attached := sbom(subject, "1")
			attached.Push(t, w.at("a.test/app").MemoryRepository, "sbom")
			ok(t, run(t, New(w, Options{}), job("a.test/app:sbom", "b.test/app:sbom"))...)
			if without {
				requireListed(t, b, attached)
			} else if list := b.listAt(subject.Digest()); list.Digest != "" {
				t.Errorf("a list %s stands under a tag", list.Digest)
			}
			if last := b.puts[len(b.puts)-1]; last != "sbom" {
				t.Errorf("the last manifest put is %s, want the tag", last)
			}
		})
	}
}

// An image with 500 signatures of 2 kB is copied, within the bounds for hostile ones: each manifest is read and put once, and
// the list is put once.
func TestManySignaturesArePutOnAListOnce(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	a.noReferrers, b.noReferrers = true, true
	image := contenttest.NewImage("linux/amd64")
	image.Push(t, a.MemoryRepository, "1")
	subject, layer := image.Descriptor(), contenttest.NewLayer("signature", 20)
	var all []contenttest.Image
	for n := range 500 {
		all = append(all, contenttest.NewManifest(ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/x." + strconv.Itoa(n), Subject: &subject,
			Annotations: map[string]string{"dev.sigstore.cosign/signature": strings.Repeat("x", 2000)},
		}, layer, layer))
		all[n].Push(t, a.MemoryRepository, "")
	}
	appendToList(t, a, all...)
	b.puts = nil
	results := run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))
	ok(t, results...)
	list := content.FallbackTag(image.Digest())
	if lists := len(slices.DeleteFunc(slices.Clone(b.puts), func(put string) bool { return put != list })); brought(results) != 500 || lists != 1 {
		t.Errorf("%d referrers were copied, and their list was put %d times, want 500 and 1", brought(results), lists)
	}
	requireCounts(t, "source", a, map[string]int{"manifest": 502}) // the image, its list and the signatures
	requireCounts(t, "destination", b, map[string]int{"manifest": 0})
	if got := b.listAt(image.Digest()).Digest; got != a.listAt(image.Digest()).Digest {
		t.Errorf("the list is %s, want that of the source", got)
	}
}
