package transfer

import (
	"errors"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// threePlatforms is an index as BuildKit makes it: an attestation for each image.
func threePlatforms() (index contenttest.Image, children []contenttest.Image) {
	var all []contenttest.Image
	for _, platform := range []string{"linux/amd64", "linux/arm64/v8", "linux/arm/v7"} {
		image := contenttest.NewImage(platform, contenttest.NewLayer(platform, 1000))
		subject := image.Descriptor()
		attestation := contenttest.NewArtifact("application/vnd.in-toto+json", nil, contenttest.NewLayer("attest"+subject.Digest.String(), 100))
		children = append(children, image)
		all = append(all, image, attestation)
	}
	index = contenttest.NewIndex(all...)
	var document ocispec.Index
	decode(index.Root.Bytes, &document)
	for i := range document.Manifests {
		if i%2 == 1 {
			document.Manifests[i].Platform = &content.Platform{OS: "unknown", Architecture: "unknown"}
			document.Manifests[i].Annotations = map[string]string{
				content.AnnotationReferenceType:   content.AttestationManifest,
				content.AnnotationReferenceDigest: document.Manifests[i-1].Digest.String(),
			}
		}
	}
	index.Root = contenttest.JSON(ocispec.MediaTypeImageIndex, document)
	return index, children
}

func TestOnePlatformIsItsOwnManifest(t *testing.T) {
	w := newWorld()
	index, children := threePlatforms()
	index.Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := job("a.test/app:1", "b.test/app:1")
	j.Platforms = platforms("linux/arm64")
	ok(t, run(t, New(w, Options{}), j)...)
	if got := w.at("b.test/app").tag("1"); got != children[1].Digest() {
		t.Errorf("tag points at %s, want the arm64 image %s", got, children[1].Digest())
	}
	requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"commit": 2, "put": 1})
}

func TestSeveralPlatformsAreAValidIndex(t *testing.T) {
	w := newWorld()
	index, children := threePlatforms()
	index.Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := job("a.test/app:1", "b.test/app:1")
	j.Platforms = platforms("linux/amd64", "linux/arm/v7")
	results := run(t, New(w, Options{}), j)
	ok(t, results...)
	b := w.at("b.test/app")
	raw, err := b.MemoryRepository.FetchManifest(t.Context(), content.Descriptor{Digest: b.tag("1")})
	if err != nil {
		t.Fatal(err)
	}
	var got ocispec.Index
	decode(raw, &got)
	if len(got.Manifests) != 4 || got.Manifests[0].Digest != children[0].Digest() || got.Manifests[2].Digest != children[2].Digest() {
		t.Errorf("the new index has %d children: %s", len(got.Manifests), raw)
	}
	if got.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("media type %q", got.MediaType)
	}

	// Unchanged, it costs two looks and one read of the index.
	again := run(t, New(w, Options{}), j)
	ok(t, again...)
	if again[0].Digest != results[0].Digest || again[0].Destinations[0].Action != ActionUnchanged {
		t.Errorf("the second run gives %s, %s; want %s unchanged", again[0].Digest, again[0].Destinations[0].Action, results[0].Digest)
	}
	requireCounts(t, "both runs", b, map[string]int{"resolve": 2, "put": 5})
}

// Without attestations all platforms stay, and the next run reads nothing.
func TestOmittedAttestations(t *testing.T) {
	w, memory := newWorld(), newDiary()
	index, children := threePlatforms()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	index.Push(t, a.MemoryRepository, "1")
	children[0].Push(t, a.MemoryRepository, "single")
	j := job("a.test/app:1", "b.test/app:1")
	j.Attestations = AttestationsDrop
	results := run(t, New(w, memory.options()), j)
	ok(t, results...)
	raw, err := b.MemoryRepository.FetchManifest(t.Context(), content.Descriptor{Digest: b.tag("1")})
	if err != nil {
		t.Fatal(err)
	}
	var got ocispec.Index
	decode(raw, &got)
	if len(got.Manifests) != 3 || slices.ContainsFunc(got.Manifests, content.IsAttestation) {
		t.Errorf("the index is %s, want the three images", raw)
	}
	for _, child := range children {
		child.Check(t, b.MemoryRepository)
	}
	a.forget()
	again := run(t, New(w, memory.options()), j)
	if again[0].Digest != results[0].Digest || again[0].Destinations[0].Action != ActionUnchanged {
		t.Errorf("the second run: %s, %s; want %s unchanged", again[0].Digest, again[0].Destinations[0].Action, results[0].Digest)
	}
	requireCounts(t, "source", a, map[string]int{"resolve": 1, "manifest": 0})

	// An index of attestations alone is copied as it is.
	var document ocispec.Index
	decode(index.Root.Bytes, &document)
	document.Manifests = slices.DeleteFunc(document.Manifests, func(d content.Descriptor) bool { return !content.IsAttestation(d) })
	only := index
	only.Root = contenttest.JSON(ocispec.MediaTypeImageIndex, document)
	only.Push(t, a.MemoryRepository, "only")
	alone := job("a.test/app:only", "b.test/app:only")
	alone.Attestations = AttestationsDrop
	ok(t, run(t, New(w, memory.options()), alone)...)
	if b.tag("only") != only.Digest() {
		t.Errorf("an index of attestations became %s", b.tag("only"))
	}

	// The same with some of the platforms; what has no attestations stays as it is.
	j.Platforms = platforms("linux/amd64", "linux/arm/v7")
	ok(t, run(t, New(w, memory.options()), j)...)
	raw, _ = b.MemoryRepository.FetchManifest(t.Context(), content.Descriptor{Digest: b.tag("1")})
	if decode(raw, &got); len(got.Manifests) != 2 {
		t.Errorf("two platforms without attestations: %s", raw)
	}
	single := job("a.test/app:single", "b.test/app:single")
	single.Attestations = AttestationsDrop
	ok(t, run(t, New(w, memory.options()), single)...)
	if b.tag("single") != children[0].Digest() {
		t.Errorf("a single image became %s", b.tag("single"))
	}
}

func TestAllPlatformsNamedIsTheIndexItself(t *testing.T) {
	w := newWorld()
	index, _ := threePlatforms()
	index.Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := job("a.test/app:1", "b.test/app:1")
	j.Platforms = platforms("linux/amd64", "linux/arm64", "linux/arm")
	ok(t, run(t, New(w, Options{}), j)...)
	if got := w.at("b.test/app").tag("1"); got != index.Digest() {
		t.Errorf("tag points at %s, want the source's %s", got, index.Digest())
	}
}

func TestMissingPlatforms(t *testing.T) {
	index, _ := threePlatforms()
	single := contenttest.NewImage("linux/s390x", contenttest.NewLayer("s", 10))
	for _, test := range []struct {
		name      string
		image     contenttest.Image
		platforms []string
		required  bool
		fails     bool
		says      string
	}{
		{"one of two", index, []string{"linux/amd64", "linux/riscv64"}, false, false, "linux/riscv64"},
		{"one of two, required", index, []string{"linux/amd64", "linux/riscv64"}, true, true, "linux/riscv64"},
		{"none", index, []string{"linux/riscv64"}, false, true, "linux/arm/v7"},
		{"no index", single, []string{"linux/amd64"}, false, true, "linux/s390x"},
		{"no index, right", single, []string{"linux/amd64", "linux/s390x"}, false, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.image.Push(t, w.at("a.test/app").MemoryRepository, "1")
			j := job("a.test/app:1", "b.test/app:1")
			j.Platforms, j.RequirePlatforms = platforms(test.platforms...), test.required
			quiet := j
			quiet.IgnoreMissingPlatforms = true
			result := run(t, New(w, Options{}), j)[0]
			if ignoring := run(t, New(w, Options{}), quiet)[0]; len(ignoring.Warnings) > 0 || ignoring.Failed() != test.fails {
				t.Errorf("without warnings: %v, failed %v", ignoring.Warnings, ignoring.Failed())
			}
			var text string
			for _, w := range result.Warnings {
				text += strings.Join(w.Missing, "\n")
			}
			if err := result.Err(); err != nil {
				text += err.Error()
				if !errors.Is(err, ErrNoPlatform) {
					t.Errorf("error %v, want an ErrNoPlatform", err)
				}
			}
			if result.Failed() != test.fails || !strings.Contains(text, test.says) {
				t.Errorf("failed %v and says %q; want %v, with %q", result.Failed(), text, test.fails, test.says)
			}
		})
	}
}

// The platform of a child that the index says nothing about is read from its config.
func TestChildrenWithoutAPlatform(t *testing.T) {
	w := newWorld()
	children := []contenttest.Image{
		contenttest.NewImage("linux/amd64", contenttest.NewLayer("a", 10)),
		contenttest.NewImage("linux/arm64", contenttest.NewLayer("b", 10)),
	}
	index := contenttest.NewIndex(children...)
	var document ocispec.Index
	decode(index.Root.Bytes, &document)
	for i := range document.Manifests {
		document.Manifests[i].Platform = nil
	}
	index.Root = contenttest.JSON(ocispec.MediaTypeImageIndex, document)
	index.Push(t, w.at("a.test/app").MemoryRepository, "1")
	j := job("a.test/app:1", "b.test/app:1")
	j.Platforms = platforms("linux/arm64")
	ok(t, run(t, New(w, Options{}), j)...)
	if got := w.at("b.test/app").tag("1"); got != children[1].Digest() {
		t.Errorf("tag points at %s, want %s", got, children[1].Digest())
	}
}

// A version of Windows selects what runs on it: alone the newest, with others all of them.
func TestWindowsVersions(t *testing.T) {
	index := func() (contenttest.Image, []contenttest.Image) {
		var children []contenttest.Image
		for _, version := range []string{"10.0.17763.6054", "10.0.20348.2655", "10.0.26100.1742"} {
			children = append(children, contenttest.NewImage("windows("+version+")/amd64", contenttest.NewLayer(version, 1000)))
		}
		return contenttest.NewIndex(children...), children
	}
	for _, test := range []struct {
		platforms []string
		want      []int
	}{
		{[]string{"windows(10.0.17763)/amd64"}, []int{0}},
		{[]string{"windows(10.0.26100)/amd64"}, []int{2}},
		{[]string{"windows/amd64"}, []int{2}},
		{[]string{"windows(10.0.26100)/amd64", "linux/amd64"}, []int{1, 2}},
		{[]string{"windows(10.0.17763)/amd64", "windows(10.0.20348)/amd64"}, []int{0, 1}},
		{[]string{"windows(10.0.19045)/amd64"}, nil},
	} {
		w := newWorld()
		image, children := index()
		image.Push(t, w.at("a.test/app").MemoryRepository, "1")
		j := job("a.test/app:1", "b.test/app:1")
		j.Platforms = platforms(test.platforms...)
		result := run(t, New(w, Options{}), j)[0]
		if errors.Is(result.Err(), ErrNoPlatform) != (test.want == nil) {
			t.Fatalf("%v: %v", test.platforms, result.Err())
		}
		b := w.at("b.test/app")
		for i, child := range children {
			_, err := b.MemoryRepository.Resolve(t.Context(), child.Digest().String())
			if (err == nil) != slices.Contains(test.want, i) {
				t.Errorf("%v: version %d is there: %v", test.platforms, i, err == nil)
			}
		}
	}
}
