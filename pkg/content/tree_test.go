package content_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// manifests is a source of manifests that counts how often each is read.
type manifests struct {
	mu      sync.Mutex
	raw     map[digest.Digest][]byte
	fetched map[digest.Digest]int
}

var _ content.ManifestFetcher = (*manifests)(nil)

func newManifests(images ...contenttest.Image) *manifests {
	m := &manifests{raw: map[digest.Digest][]byte{}, fetched: map[digest.Digest]int{}}
	for _, image := range images {
		m.add(image)
	}
	return m
}

func (m *manifests) add(image contenttest.Image) {
	m.raw[image.Digest()] = image.Root.Bytes
	for _, child := range image.Children {
		m.add(child)
	}
}

func (m *manifests) FetchManifest(_ context.Context, d content.Descriptor) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fetched[d.Digest]++
	raw, there := m.raw[d.Digest]
	if !there {
		return nil, content.ErrNotFound
	}
	return raw, nil
}

func fetchTree(t *testing.T, from *manifests, image contenttest.Image, limits content.Limits) (*content.Tree, error) {
	t.Helper()
	root, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return content.FetchTree(t.Context(), from, root, limits)
}

func TestFetchTreeReadsEveryKind(t *testing.T) {
	for name, image := range contenttest.Images() {
		t.Run(name, func(t *testing.T) {
			tree, err := fetchTree(t, newManifests(image), image, content.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			blobs := map[digest.Digest]bool{}
			for d := range tree.Blobs() {
				if blobs[d.Digest] {
					t.Errorf("blob %s twice", d.Digest)
				}
				blobs[d.Digest] = true
			}
			requireBelow(t, tree, image, blobs)
			seen := map[digest.Digest]bool{}
			var last digest.Digest
			for m := range tree.Manifests() {
				for _, child := range m.Manifests {
					if !seen[child.Digest] {
						t.Errorf("%s comes before its child %s", m.Descriptor.Digest, child.Digest)
					}
				}
				last = m.Descriptor.Digest
				seen[last] = true
			}
			if last != image.Digest() || tree.Root.Descriptor.Digest != image.Digest() {
				t.Errorf("the root is not last: got %s", last)
			}
		})
	}
}

func requireBelow(t *testing.T, tree *content.Tree, image contenttest.Image, blobs map[digest.Digest]bool) {
	t.Helper()
	if tree.Manifest(image.Digest()) == nil {
		t.Errorf("manifest %s is missing", image.Digest())
	}
	for _, blob := range image.Blobs {
		if !blobs[blob.Descriptor.Digest] {
			t.Errorf("blob %s is missing", blob.Descriptor.Digest)
		}
	}
	for _, child := range image.Children {
		requireBelow(t, tree, child, blobs)
	}
}

func TestFetchTreeReadsSharedChildrenOnce(t *testing.T) {
	shared := contenttest.NewImage("linux/amd64", contenttest.NewLayer("shared", 10))
	image := contenttest.NewIndex(shared, contenttest.NewIndex(shared), contenttest.NewIndex(shared, contenttest.NewImage("linux/arm64")), shared)
	from := newManifests(image)
	tree, err := fetchTree(t, from, image, content.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for d, times := range from.fetched {
		if times != 1 {
			t.Errorf("%s was read %d times", d, times)
		}
	}
	if n := len(slices.Collect(tree.Manifests())); n != 5 || from.fetched[image.Digest()] != 0 {
		t.Errorf("got %d manifests, root read %d times, want 5 and none", n, from.fetched[image.Digest()])
	}
}

// nested is an image under so many indexes.
func nested(levels int) contenttest.Image {
	image := contenttest.NewImage("linux/amd64")
	for range levels {
		image = contenttest.NewIndex(image)
	}
	return image
}

func TestFetchTreeDepth(t *testing.T) {
	for _, test := range []struct {
		levels, limit int
		want          error
	}{{8, 0, nil}, {9, 0, content.ErrInvalid}, {2, 2, nil}, {3, 2, content.ErrInvalid}} {
		image := nested(test.levels)
		_, err := fetchTree(t, newManifests(image), image, content.Limits{Depth: test.limit})
		if !errors.Is(err, test.want) {
			t.Errorf("%d levels with the limit %d: got %v, want %v", test.levels, test.limit, err, test.want)
		}
		if err != nil && !strings.Contains(err.Error(), "manifest sha256:") {
			t.Errorf("%q does not name the manifest", err)
		}
	}
}

// wide is an index of so many children that exist nowhere.
func wide(children int) contenttest.Image {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: make([]content.Descriptor, 0, children)}
	index.SchemaVersion = 2
	for i := range children {
		index.Manifests = append(index.Manifests, content.NewDescriptor(ocispec.MediaTypeImageManifest, []byte{byte(i), byte(i >> 8), byte(i >> 16)}))
	}
	return contenttest.Image{Root: contenttest.JSON(ocispec.MediaTypeImageIndex, index)}
}

func TestFetchTreeRefusesTooManyChildrenBeforeReadingAny(t *testing.T) {
	image := wide(20_000)
	from := newManifests(image)
	_, err := fetchTree(t, from, image, content.Limits{})
	if !errors.Is(err, content.ErrInvalid) || !strings.Contains(err.Error(), image.Digest().String()) {
		t.Errorf("got %v, want a refusal that names the index", err)
	}
	if len(from.fetched) != 0 {
		t.Errorf("%d children were read", len(from.fetched))
	}
}

func TestFetchTreeCountsBlobs(t *testing.T) {
	layers := make([]contenttest.Blob, 20)
	for i := range layers {
		layers[i] = contenttest.NewLayer("count", i)
	}
	image := contenttest.NewIndex(contenttest.NewImage("linux/amd64", layers...)) // 2 manifests, 21 blobs
	if _, err := fetchTree(t, newManifests(image), image, content.Limits{Nodes: 23}); err != nil {
		t.Errorf("as many as allowed: %v", err)
	}
	if _, err := fetchTree(t, newManifests(image), image, content.Limits{Nodes: 22}); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("one more than allowed: got %v, want invalid", err)
	}
}

func TestFetchTreeCountsBytes(t *testing.T) {
	image := contenttest.NewIndex(
		contenttest.NewImage("linux/amd64", contenttest.NewLayer("a", 10)),
		contenttest.NewImage("linux/arm64", contenttest.NewLayer("b", 10)))
	size := len(image.Root.Bytes) + len(image.Children[0].Root.Bytes) + len(image.Children[1].Root.Bytes)
	if _, err := fetchTree(t, newManifests(image), image, content.Limits{Bytes: size}); err != nil {
		t.Errorf("with all of %d bytes allowed: %v", size, err)
	}
	if _, err := fetchTree(t, newManifests(image), image, content.Limits{Bytes: size - 1}); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("with one byte less: %v, want an ErrInvalid", err)
	}
}

// The values of all manifests count, before any is parsed: 13 children with 99,900 annotations each took 261 MiB.
func TestFetchTreeCountsValues(t *testing.T) {
	children := []contenttest.Image{contenttest.NewImage("linux/amd64"), contenttest.NewImage("linux/arm64"), contenttest.NewImage("linux/s390x")}
	image := contenttest.NewIndex(children...)
	values := 0
	for _, m := range append(children, image) {
		for _, c := range m.Root.Bytes {
			if c == ',' || c == '{' || c == '[' {
				values++
			}
		}
	}
	if _, err := fetchTree(t, newManifests(image), image, content.Limits{Values: values}); err != nil {
		t.Errorf("%d values: %v", values, err)
	}
	if _, err := fetchTree(t, newManifests(image), image, content.Limits{Values: values - 1}); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("one value more than allowed: got %v, want ErrInvalid", err)
	}
}

// What an image and its referrers have is counted together, and what would exceed the bound is not read.
func TestBudget(t *testing.T) {
	image, first, second := contenttest.NewImage("linux/amd64"), contenttest.NewImage("linux/arm64"), contenttest.NewImage("linux/s390x")
	size := len(image.Root.Bytes) + len(first.Root.Bytes)
	from := newManifests(image, first, second)
	b := content.NewBudget(content.Limits{Bytes: size})
	root, err := b.Fetch(t.Context(), from, image.Descriptor())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.FetchTree(t.Context(), from, root); err != nil {
		t.Error(err)
	}
	if _, err := b.Fetch(t.Context(), from, first.Descriptor()); err != nil {
		t.Error(err)
	}
	read := len(from.fetched)
	if _, err := b.Fetch(t.Context(), from, second.Descriptor()); !errors.Is(err, content.ErrInvalid) || len(from.fetched) != read {
		t.Errorf("got %v and %d reads, want ErrInvalid and none", err, len(from.fetched)-read)
	}
	if err := b.CountList(image.Digest(), []content.Descriptor{{}}); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("a list: got %v, want ErrInvalid", err)
	}
}

// Annotations and embedded data of layers, and more URLs than are tried, are not kept.
func TestParseManifestKeepsWhatIsRead(t *testing.T) {
	layer := contenttest.NewLayer("x", 10)
	layer.Descriptor.Annotations = map[string]string{"a": "b"}
	layer.Descriptor.Data = layer.Bytes
	layer.Descriptor.URLs = slices.Repeat([]string{"https://layers.invalid/x"}, content.MaxURLs+1)
	image := contenttest.NewImage("linux/amd64", layer)
	m, err := content.ParseManifest(image.Descriptor(), image.Root.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Layers[0]; got.Annotations != nil || got.Data != nil || len(got.URLs) != content.MaxURLs || got.Digest != layer.Descriptor.Digest {
		t.Errorf("got %+v", got)
	}
}

func TestFetchTreeNamesWhatIsMissing(t *testing.T) {
	child := contenttest.NewImage("linux/amd64")
	image := contenttest.NewIndex(child)
	from := newManifests(image)
	delete(from.raw, child.Digest())
	_, err := fetchTree(t, from, image, content.Limits{})
	if !errors.Is(err, content.ErrNotFound) || !strings.Contains(err.Error(), child.Digest().String()) {
		t.Errorf("got %v, want not found that names the child", err)
	}
}

func TestFetchAndParseRefusesWithoutReading(t *testing.T) {
	image := contenttest.NewImage("linux/amd64")
	huge, bad := image.Descriptor(), image.Descriptor()
	huge.Size = 1 << 30
	bad.Digest = "sha256:../../x"
	for _, d := range []content.Descriptor{huge, bad} {
		from := newManifests(image)
		if _, err := content.FetchAndParse(t.Context(), from, d); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("%s of %d bytes: got %v, want invalid", d.Digest, d.Size, err)
		}
		if len(from.fetched) != 0 {
			t.Errorf("%s of %d bytes was read", d.Digest, d.Size)
		}
	}
}

// A cache of BuildKit is an index of layers. What has an unknown media type is read as a manifest,
// and is a blob where there is no such manifest or where its bytes are none.
func TestChildrenOfAnIndexMayBeBlobs(t *testing.T) {
	image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("x", 10))
	layer := contenttest.NewLayer("cached", 30)
	absent := contenttest.NewBlob("application/vnd.example.x", "absent", 40)
	bytes := contenttest.NewBlob("", "bytes", 50)
	large := contenttest.NewBlob("", "large", content.MaxManifestSize+1)
	nameless := contenttest.Blob{Descriptor: image.Descriptor(), Bytes: image.Root.Bytes}
	nameless.Descriptor.MediaType = ""

	index := contenttest.NewCache(layer, absent, bytes, large, nameless)
	nested := contenttest.NewIndex(contenttest.NewIndex(index), index)
	from := newManifests(image, nested)
	from.raw[bytes.Descriptor.Digest] = bytes.Bytes
	tree, err := fetchTree(t, from, nested, content.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m := tree.Manifest(index.Digest())
	if len(m.Manifests) != 1 || m.Manifests[0].Digest != image.Digest() || tree.Manifest(image.Digest()) == nil {
		t.Errorf("the index has the manifests %v, want %s", m.Manifests, image.Digest())
	}
	var got, want []digest.Digest
	for _, d := range m.Blobs() {
		got = append(got, d.Digest)
	}
	for _, blob := range []contenttest.Blob{layer, absent, bytes, large} {
		want = append(want, blob.Descriptor.Digest)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the index has the blobs %v, want %v", got, want)
	}
	if n := from.fetched[layer.Descriptor.Digest] + from.fetched[large.Descriptor.Digest]; n != 0 {
		t.Errorf("%d blobs were read as manifests", n)
	}
}

// A child that is a manifest by its media type, or looks like one, is an error that names it.
func TestChildrenThatCannotBeRead(t *testing.T) {
	missing := contenttest.NewImage("linux/arm64", contenttest.NewLayer("x", 10))
	odd := contenttest.JSON("application/vnd.example.manifest", map[string]int{"schemaVersion": 3})
	from := newManifests()
	from.raw[odd.Descriptor.Digest] = odd.Bytes
	for _, test := range []struct {
		index contenttest.Image
		part  digest.Digest
		want  error
	}{
		{contenttest.NewIndex(missing), missing.Digest(), content.ErrNotFound},
		{contenttest.NewCache(odd), odd.Descriptor.Digest, content.ErrInvalid},
	} {
		_, err := fetchTree(t, from, test.index, content.Limits{})
		part, ok := errors.AsType[*content.PartError](err)
		if !ok || part.Part.Digest != test.part || !errors.Is(err, test.want) {
			t.Errorf("got %v, want %v of %s", err, test.want, test.part)
		}
	}
}

func TestArtifactManifests(t *testing.T) {
	subject := contenttest.NewImage("linux/amd64").Descriptor()
	payload := contenttest.NewBlob("text/plain", "payload", 70)
	image := contenttest.NewArtifactManifest("application/vnd.cncf.notary.signature", &subject, payload)
	tree, err := fetchTree(t, newManifests(), image, content.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m := tree.Root
	if m.Subject == nil || m.Subject.Digest != subject.Digest || m.Referrer().ArtifactType != "application/vnd.cncf.notary.signature" ||
		m.IsIndex() || len(m.Blobs()) != 1 || m.Blobs()[0].Digest != payload.Descriptor.Digest {
		t.Errorf("got %+v", m)
	}
}

// The platform of a child is named, unless it is none.
func TestPartErrorNamesThePlatform(t *testing.T) {
	for want, platform := range map[string]content.Platform{
		"linux/amd64: not found": {OS: "linux", Architecture: "amd64"},
		"not found":              {OS: "unknown", Architecture: "unknown"},
	} {
		part := content.Descriptor{Platform: &platform}
		if got := (&content.PartError{Part: part, Err: content.ErrNotFound}).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
