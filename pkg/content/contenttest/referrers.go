package contenttest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

func (s suite) referrers(t *testing.T) {
	target := s.Open(t)
	image := NewImage("linux/amd64", NewLayer("subject", 100))
	subject := content.Descriptor{MediaType: image.Descriptor().MediaType, Digest: image.Digest(), Size: image.Descriptor().Size}
	sbom := NewArtifact("application/vnd.example.sbom", &subject, NewBlob("text/plain", "sbom", 50))
	signature := NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Subject: &subject},
		JSON("application/vnd.example.signature.config", map[string]int{"n": 1}), NewBlob("text/plain", "signature", 50))

	lister, is := ability[content.ReferrersLister](t, target, s.Abilities.Referrers)
	if !s.Abilities.Referrers {
		if is {
			_, err := lister.Referrers(t.Context(), image.Digest())
			unable(t, err, content.ErrUnsupported)
		}
		image.Push(t, target, "v1")
		s.requireSubject(t, target, sbom, "")
		return
	}
	s.requireReferrers(t, lister, image)
	sbom.Push(t, target, "") // a referrer may come before its subject
	image.Push(t, target, "v1")
	signature.Push(t, target, "")
	NewArtifact("application/vnd.example.other", nil).Push(t, target, "unrelated")
	s.requireSubject(t, target, sbom, image.Digest().String())
	s.requireSubject(t, target, image, "")
	s.requireReferrers(t, lister, image, sbom, signature)
	s.requireReferrers(t, lister, sbom)
	if s.Reopen != nil {
		s.requireReferrers(t, s.Reopen(t, target).(content.ReferrersLister), image, sbom, signature)
	}
}

func (s suite) requireSubject(t *testing.T, target content.Target, image Image, want string) {
	t.Helper()
	for _, blob := range image.Blobs {
		blob.Push(t, target)
	}
	pushed, err := target.PushManifest(t.Context(), image.Descriptor(), image.Root.Bytes, "")
	if err != nil || pushed.Subject.String() != want {
		t.Errorf("push manifest: got subject %q and %v, want %q", pushed.Subject, err, want)
	}
}

func (s suite) requireReferrers(t *testing.T, lister content.ReferrersLister, subject Image, want ...Image) {
	t.Helper()
	got, err := lister.Referrers(t.Context(), subject.Digest())
	if err != nil {
		t.Fatalf("referrers: %v", err)
	}
	if len(got) != len(want) {
		t.Errorf("referrers: got %d, want %d", len(got), len(want))
	}
	for _, image := range want {
		m, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(got, func(d content.Descriptor) bool { return d.Digest == image.Digest() })
		if i < 0 {
			t.Errorf("referrer %s is not listed", image.Digest())
			continue
		}
		d := got[i]
		want := m.Referrer()
		if d.MediaType != m.Descriptor.MediaType || d.Size != m.Descriptor.Size || d.ArtifactType != want.ArtifactType ||
			d.Annotations["org.example.note"] != want.Annotations["org.example.note"] {
			t.Errorf("referrer %s: got %+v, want artifact type %q and the manifest's annotations", d.Digest, d, want.ArtifactType)
		}
	}
}

func (s suite) referrersAtOnce(t *testing.T) {
	if !s.Abilities.Referrers {
		return
	}
	target := s.Open(t)
	image := NewImage("linux/amd64", NewLayer("subject", 100))
	image.Push(t, target, "v1")
	subject := image.Descriptor()
	var all []Image
	for i := range 16 {
		all = append(all, NewArtifact("application/vnd.example.sbom", &subject, NewBlob("text/plain", fmt.Sprint(i), 50)))
		for _, blob := range all[i].Blobs {
			blob.Push(t, target)
		}
	}
	var pushing sync.WaitGroup
	for _, r := range all {
		pushing.Go(func() {
			if _, err := target.PushManifest(t.Context(), r.Descriptor(), r.Root.Bytes, ""); err != nil {
				t.Errorf("push a referrer: %v", err)
			}
		})
	}
	pushing.Wait()
	s.requireReferrers(t, target.(content.ReferrersLister), image, all...)
}

// attachedTags: both schemes are found by their tags.
func (s suite) attachedTags(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		target := s.Open(t)
		image := NewImage("linux/amd64", NewLayer("subject", 100)).As(algorithm)
		image.Push(t, target, "v1")
		subject := image.Descriptor()
		sbom := NewArtifact("application/vnd.example.sbom", &subject)
		sbom.Push(t, target, "")
		m, err := content.ParseManifest(sbom.Descriptor(), sbom.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		d, raw, err := content.NewReferrersList([]content.Descriptor{m.Referrer()})
		if err != nil {
			t.Fatal(err)
		}
		tag := content.FallbackTag(image.Digest())
		tagged := map[string]Image{"v1": image, tag: {Root: Blob{Descriptor: d, Bytes: raw}}}
		for _, suffix := range []string{".sig", ".att", ".sbom"} {
			tagged[tag+suffix] = NewArtifact("application/vnd.example.cosign", nil, NewBlob("text/plain", suffix, 50))
		}
		for tag, attached := range tagged {
			attached.Push(t, target, tag)
		}
		if s.Reopen != nil {
			target = s.Reopen(t, target)
		}
		for tag, attached := range tagged {
			s.requireImage(t, target, tag, attached)
		}
		RequireReferrer(t, target, image.Digest(), sbom)
		if lister, is := ability[content.TagLister](t, target, s.Abilities.Tags); is && s.Abilities.Tags {
			requireTags(t, lister, slices.Collect(maps.Keys(tagged))...)
		}
	}
}

// RequireReferrer fails the test unless a place has a referrer in the way that clients look for it:
// on the list of its own or, if it keeps none or an empty one, on the list under the subject's
// [content.FallbackTag].
func RequireReferrer(t testing.TB, at content.Source, subject digest.Digest, want Image) {
	t.Helper()
	var listed []content.Descriptor
	err := content.ErrUnsupported
	if lister, is := at.(content.ReferrersLister); is {
		listed, err = lister.Referrers(t.Context(), subject)
	}
	if err != nil && !errors.Is(err, content.ErrUnsupported) {
		t.Fatalf("referrers of %s: %v", subject, err)
	}
	if len(listed) == 0 {
		d, err := at.Resolve(t.Context(), content.FallbackTag(subject))
		if err != nil {
			t.Errorf("list of referrers of %s: %v", subject, err)
			return
		}
		list, err := content.FetchAndParse(t.Context(), at, d)
		if err != nil {
			t.Errorf("list of referrers of %s: %v", subject, err)
			return
		}
		listed = list.Manifests
	}
	if !slices.ContainsFunc(listed, func(d content.Descriptor) bool { return d.Digest == want.Digest() }) {
		t.Errorf("%v: %s is not among the %d referrers of %s", at.Location(), want.Digest(), len(listed), subject)
	}
}

func (s suite) deleteReferrer(t *testing.T) {
	if !s.Abilities.Delete || !s.Abilities.Referrers {
		return
	}
	target := s.Open(t)
	image := NewImage("linux/amd64", NewLayer("subject", 100))
	image.Push(t, target, "v1")
	subject := image.Descriptor()
	first, second := NewArtifact("application/vnd.example.first", &subject), NewArtifact("application/vnd.example.second", &subject)
	first.Push(t, target, "")
	second.Push(t, target, "")
	lister, deleter := target.(content.ReferrersLister), target.(content.Deleter)
	for i, gone := range []Image{first, second} {
		if err := deleter.Delete(t.Context(), gone.Digest().String()); err != nil {
			t.Fatalf("delete a referrer: %v", err)
		}
		requireNothing(t, target, gone.Digest().String())
		s.requireReferrers(t, lister, image, []Image{second}[i:]...)
		if err := deleter.Delete(t.Context(), gone.Digest().String()); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("delete a referrer again: got %v, want not found", err)
		}
	}
	s.requireImage(t, target, "v1", image)
}
