package layout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func artifact(of contenttest.Image, artifactType string) contenttest.Image {
	subject := of.Descriptor()
	return contenttest.NewArtifact(artifactType, &subject, contenttest.NewLayer(artifactType, 50))
}

// listOf is the list that other tools would write.
func listOf(t *testing.T, entries ...content.Descriptor) contenttest.Image {
	t.Helper()
	d, raw, err := content.NewReferrersList(entries)
	if err != nil {
		t.Fatal(err)
	}
	return contenttest.Image{Root: contenttest.Blob{Descriptor: d, Bytes: raw}}
}

func entriesOf(t *testing.T, l *layout.Layout) []content.Descriptor {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(l.Path(), "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	return index.Manifests
}

// regclient finds referrers by one entry of index.json, whose name is the subject's fallback tag.
func TestReferrersAreListedWhereRegclientFindsThem(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		l := open(t, t.TempDir())
		image := contenttest.NewImage("linux/amd64").As(algorithm)
		sbom, signature := artifact(image, "application/spdx+json"), artifact(image, "application/vnd.example.signature")
		sbom.Push(t, l, "")
		image.Push(t, l, "v1")
		for range 2 {
			signature.Push(t, l, "")
			sbom.Push(t, l, "")
		}
		entries := entriesOf(t, l)
		slices.SortFunc(entries, func(a, b content.Descriptor) int {
			return strings.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName])
		})
		names := []string{}
		for _, entry := range entries {
			names = append(names, entry.Annotations[ocispec.AnnotationRefName])
		}
		tag := algorithm.String() + "-" + image.Digest().Encoded()[:64]
		if want := []string{tag, "v1"}; !slices.Equal(names, want) {
			t.Fatalf("index.json names %q, want %q", names, want)
		}
		raw, err := l.FetchManifest(t.Context(), entries[0])
		if err != nil {
			t.Fatal(err)
		}
		want := listOf(t, referrer(t, sbom), referrer(t, signature))
		if entries[0].MediaType != ocispec.MediaTypeImageIndex || !bytes.Equal(raw, want.Root.Bytes) {
			t.Errorf("the list, a %s, is\n%s\nwant\n%s", entries[0].MediaType, raw, want.Root.Bytes)
		}
		if d, err := l.Resolve(t.Context(), ""); err != nil || d.Digest != image.Digest() {
			t.Errorf("the only image is %s, %v; want %s", d.Digest, err, image.Digest())
		}
	}
}

func referrer(t *testing.T, image contenttest.Image) content.Descriptor {
	t.Helper()
	m, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return m.Referrer()
}

// regclient lists referrers under the fallback tag, ORAS gives each an entry of its own: both are
// read, and one more is added to all of them.
func TestReferrersOfOtherTools(t *testing.T) {
	image := contenttest.NewImage("linux/amd64")
	first, second, added := artifact(image, "a/first"), artifact(image, "a/second"), artifact(image, "a/added")
	unlinked := contenttest.NewArtifact("a/unlinked", nil)
	lost := content.NewDescriptor(ocispec.MediaTypeImageManifest, []byte("lost"))
	named := func(i contenttest.Image, name string) content.Descriptor {
		d := i.Descriptor()
		d.Annotations = map[string]string{ocispec.AnnotationRefName: name, ocispec.AnnotationCreated: "2026-01-01T00:00:00Z"}
		return d
	}
	tag := content.FallbackTag(image.Digest())
	list := func(entries ...content.Descriptor) content.Descriptor { return named(listOf(t, entries...), tag) }
	one, two := referrer(t, first), referrer(t, second)
	for name, test := range map[string]struct {
		entries, want []content.Descriptor
	}{
		"a list":                  {[]content.Descriptor{list(one, two)}, []content.Descriptor{one, two}},
		"entries":                 {[]content.Descriptor{first.Descriptor(), second.Descriptor()}, []content.Descriptor{one, two}},
		"both":                    {[]content.Descriptor{first.Descriptor(), list(one, two)}, []content.Descriptor{one, two}},
		"each one":                {[]content.Descriptor{list(one), second.Descriptor()}, []content.Descriptor{one, two}},
		"an entry with a tag":     {[]content.Descriptor{named(first, "first")}, []content.Descriptor{one}},
		"a list under a name":     {[]content.Descriptor{named(listOf(t, one), "docker.io/library/app:"+tag)}, []content.Descriptor{one}},
		"one without a subject":   {[]content.Descriptor{list(one, unlinked.Descriptor())}, []content.Descriptor{one, unlinked.Descriptor()}},
		"one that is lost":        {[]content.Descriptor{list(one, lost)}, []content.Descriptor{one}},
		"a list that is lost":     {[]content.Descriptor{named(contenttest.Image{Root: contenttest.Blob{Descriptor: lost}}, tag), first.Descriptor()}, []content.Descriptor{one}},
		"no list under that name": {[]content.Descriptor{named(first, tag)}, []content.Descriptor{one}},
		"nothing":                 {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir())
			for _, pushed := range []contenttest.Image{image, first, second, unlinked, listOf(t, one, two), listOf(t, one), listOf(t, one, unlinked.Descriptor())} {
				pushed.Push(t, l, "")
			}
			broken := listOf(t, one, lost).Root
			broken.Push(t, l)
			err := l.Update(t.Context(), func([]content.Descriptor) ([]content.Descriptor, error) {
				return append(slices.Clone(test.entries), named(image, "v1")), nil
			})
			if err != nil {
				t.Fatal(err)
			}
			requireReferrers(t, l, image, test.want...)
			added.Push(t, l, "")
			requireReferrers(t, l, image, append(slices.Clone(test.want), referrer(t, added))...)
			bare := slices.ContainsFunc(entriesOf(t, l), func(d content.Descriptor) bool { return len(d.Annotations) == 0 })
			d, err := l.Resolve(t.Context(), tag)
			if err != nil || bare {
				t.Fatalf("the list is %v, %v; entries without a name: %v", d, err, bare)
			}
			m, err := content.FetchAndParse(t.Context(), l, d)
			if err != nil || len(m.Manifests) != len(test.want)+1 {
				t.Errorf("the list has %d referrers, %v; want %d", len(m.Manifests), err, len(test.want)+1)
			}
		})
	}
}

// A list that cannot be understood is told, and not replaced.
func TestListOfReferrersThatIsInvalid(t *testing.T) {
	l := open(t, t.TempDir())
	image := contenttest.NewImage("linux/amd64")
	image.Push(t, l, "v1")
	bad := contenttest.NewBlob(ocispec.MediaTypeImageIndex, "", 0)
	bad.Bytes = []byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x"}]}`)
	bad.Descriptor = content.NewDescriptor(ocispec.MediaTypeImageIndex, bad.Bytes)
	bad.Push(t, l)
	entry := bad.Descriptor
	entry.Annotations = map[string]string{ocispec.AnnotationRefName: content.FallbackTag(image.Digest())}
	err := l.Update(t.Context(), func(entries []content.Descriptor) ([]content.Descriptor, error) { return append(entries, entry), nil })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Referrers(t.Context(), image.Digest()); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("referrers: got %v and %v, want invalid", got, err)
	}
	sbom := artifact(image, "application/spdx+json")
	for _, blob := range sbom.Blobs {
		blob.Push(t, l)
	}
	if _, err := l.PushManifest(t.Context(), sbom.Descriptor(), sbom.Root.Bytes, ""); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("push a referrer: got %v, want invalid", err)
	}
}

// Each version of a list of referrers stayed in the layout: a thousand referrers with an annotation of 3.5 kB left 1.8 GB
// on the disk. Those that are replaced are removed, unless something else refers to them.
func TestReplacedListsOfReferrersAreRemoved(t *testing.T) {
	l := open(t, t.TempDir())
	image := contenttest.NewImage("linux/amd64")
	image.Push(t, l, "v1")
	layer := contenttest.NewLayer("signature", 50)
	layer.Push(t, l)
	subject, tag := image.Descriptor(), content.FallbackTag(image.Digest())
	attached := func(n int) contenttest.Image {
		return contenttest.NewManifest(ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/x." + strconv.Itoa(n), Subject: &subject,
			Annotations: map[string]string{"org.example.note": strings.Repeat("x", 3500)},
		}, layer, layer)
	}
	push := func(n int) content.Descriptor {
		m := attached(n)
		if _, err := l.PushManifest(t.Context(), m.Descriptor(), m.Root.Bytes, ""); err != nil {
			t.Error(err)
		}
		return referrer(t, m)
	}
	current := func() content.Descriptor {
		d, err := l.Resolve(t.Context(), tag)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}

	all := []content.Descriptor{push(0)}
	tagged := current() // it gets a second name
	err := l.Update(t.Context(), func(entries []content.Descriptor) ([]content.Descriptor, error) {
		second := tagged
		second.Annotations = map[string]string{ocispec.AnnotationRefName: "kept"}
		return append(entries, second), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, push(1))
	relied := current() // a copy is told that it is there
	if there, err := l.HasBlob(t.Context(), relied); err != nil || !there {
		t.Fatal(there, err)
	}
	all = append(all, push(2))
	nested := current() // an index has it
	index := contenttest.JSON(ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []content.Descriptor{nested}})
	contenttest.Image{Root: index}.Push(t, l, "index")

	more := make([]content.Descriptor, 100)
	var pushing errgroup.Group
	pushing.SetLimit(16)
	for n := range more {
		pushing.Go(func() error {
			more[n] = push(3 + n)
			return nil
		})
	}
	_ = pushing.Wait()
	all = append(all, more...)

	want := []string{image.Digest().Encoded(), layer.Descriptor.Digest.Encoded(), index.Descriptor.Digest.Encoded()}
	for _, blob := range image.Blobs {
		want = append(want, blob.Descriptor.Digest.Encoded())
	}
	for _, d := range append(all, tagged, relied, nested, current()) {
		want = append(want, d.Digest.Encoded())
	}
	files, err := os.ReadDir(filepath.Join(l.Path(), "blobs", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range files {
		got = append(got, file.Name())
	}
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("the layout has %d blobs, want %d:\n%q\n%q", len(got), len(want), got, want)
	}
	m, err := content.FetchAndParse(t.Context(), l, current())
	if err != nil || len(m.Manifests) != len(all) {
		t.Errorf("the list has %d referrers, %v; want %d", len(m.Manifests), err, len(all))
	}
	listed, err := l.Referrers(t.Context(), image.Digest())
	if err != nil || len(listed) != len(all) || listed[0].Annotations["org.example.note"] == "" {
		t.Errorf("got %d referrers and %v, want %d with their annotations", len(listed), err, len(all))
	}
}

func requireReferrers(t *testing.T, l *layout.Layout, of contenttest.Image, want ...content.Descriptor) {
	t.Helper()
	got, err := l.Referrers(t.Context(), of.Digest())
	if err != nil {
		t.Fatal(err)
	}
	digests := func(all []content.Descriptor) (digests []string) {
		for _, d := range all {
			digests = append(digests, d.Digest.String())
		}
		slices.Sort(digests)
		return digests
	}
	if !slices.Equal(digests(got), digests(want)) {
		t.Errorf("referrers are %q, want %q", digests(got), digests(want))
	}
}
