package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// lacks makes a source answer that manifests are not there.
func lacks(w *wire, missing ...digest.Digest) {
	w.hold = func(_ context.Context, what string, d digest.Digest) error {
		for _, m := range missing {
			if what == "manifest" && d == m {
				return fmt.Errorf("manifest %s: %w", d, content.ErrNotFound)
			}
		}
		return nil
	}
}

// An index of layers is copied as it is, also where platforms are selected: it has none.
func TestCachesAreCopied(t *testing.T) {
	cache := contenttest.NewCache(contenttest.NewLayer("cached", 3000), contenttest.NewBlob("application/vnd.example.x", "unknown", 100),
		contenttest.JSON("application/vnd.buildkit.cacheconfig.v0", map[string]string{}))
	for _, test := range []struct {
		name      string
		image     contenttest.Image
		platforms []content.Platform
	}{
		{"all", cache, nil},
		{"one platform", cache, platforms("linux/amd64")},
		{"two platforms", cache, platforms("linux/amd64", "linux/arm64")},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			test.image.Push(t, w.at("a.test/app").MemoryRepository, "cache")
			j := withReferrers(job("a.test/app:cache", "b.test/app:cache"))
			j.Platforms = test.platforms
			m := newDiary()
			results := run(t, New(w, m.options()), j)
			ok(t, results...)
			test.image.Check(t, w.at("b.test/app").MemoryRepository)
			if got := w.at("b.test/app").tag("cache"); got != test.image.Digest() {
				t.Errorf("the tag points at %s, want %s", got, test.image.Digest())
			}
			if below, _ := m.Children(test.image.Digest()); len(below) > 0 {
				t.Errorf("%v are remembered as manifests of the index", below)
			}
			if w.at("b.test/app").forget(); len(results[0].Warnings) > 0 {
				t.Errorf("warnings: %v", results[0].Warnings)
			}
			ok(t, run(t, New(w, m.options()), j)...)
			requireCounts(t, "destination", w.at("b.test/app"), map[string]int{"commit": 0, "put": 0})
		})
	}
}

// What was not selected need not be there. An attestation that is gone is left out, with a
// warning; an image is an error that names it.
func TestMissingChildren(t *testing.T) {
	const image, attestation, unselected, unstated = "image", "attestation", "unselected", "unstated"
	for _, missing := range []string{image, attestation, unselected, unstated} {
		t.Run(missing, func(t *testing.T) {
			w := newWorld()
			a := w.at("a.test/app")
			index, children := threePlatforms()
			gone := map[string]digest.Digest{
				image: children[1].Digest(), attestation: index.Children[3].Digest(), unselected: children[2].Digest(),
			}[missing]
			if missing == unstated {
				odd := contenttest.NewArtifact("application/vnd.example.note", nil, contenttest.NewLayer("note", 10))
				index = contenttest.NewIndex(children[0], children[1], children[2], odd)
				gone = odd.Digest()
			}
			index.Push(t, a.MemoryRepository, "1")
			lacks(a, gone)
			j := job("a.test/app:1", "b.test/app:1")
			j.Platforms = platforms("linux/amd64", "linux/arm64")
			m := newDiary()
			results := run(t, New(w, m.options()), j)
			if missing == image {
				part, is := errors.AsType[*content.PartError](results[0].Err())
				if !is || part.Part.Digest != gone || !errors.Is(part, content.ErrNotFound) || w.at("b.test/app").tag("1") != "" {
					t.Errorf("got %v, want that %s is not found", results[0].Err(), gone)
				}
				return
			}
			ok(t, results...)
			b := w.at("b.test/app")
			children[0].Check(t, b.MemoryRepository)
			children[1].Check(t, b.MemoryRepository)
			warned := slices.ContainsFunc(results[0].Warnings, func(w warning.Warning) bool { return w.Digest == gone })
			if warned != (missing != unselected) {
				t.Errorf("warnings %v, and %s is not at the source", results[0].Warnings, gone)
			}
			// The next run has nothing to do, and says the same.
			b.forget()
			again := run(t, New(w, m.options()), j)
			ok(t, again...)
			if got := again[0].Destinations[0].Action; got != ActionUnchanged || len(again[0].Warnings) != len(results[0].Warnings) {
				t.Errorf("the second run: %q with the warnings %v", got, again[0].Warnings)
			}
		})
	}
}

// One platform that is missing is an error that names it, and so is a blob.
func TestMissingPartsAreNamed(t *testing.T) {
	index, children := threePlatforms()
	layer := children[0].Blobs[1].Descriptor.Digest
	for part, hold := range map[digest.Digest]string{children[0].Digest(): "manifest", layer: "fetch"} {
		w := newWorld()
		index.Push(t, w.at("a.test/app").MemoryRepository, "1")
		w.at("a.test/app").hold = func(_ context.Context, what string, d digest.Digest) error {
			if what == hold && d == part {
				return content.ErrNotFound
			}
			return nil
		}
		j := job("a.test/app:1", "b.test/app:1")
		j.Platforms = platforms("linux/amd64")
		err := run(t, New(w, Options{}), j)[0].Err()
		named, is := errors.AsType[*content.PartError](err)
		if !is || named.Part.Digest != part {
			t.Errorf("got %v, want an error that names %s", err, part)
		}
	}
}

// The artifact manifests of 2022 are copied by themselves and as referrers.
func TestArtifactManifestsAreCopied(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	image := twoPlatforms("")
	subject := image.Descriptor()
	alone := contenttest.NewArtifactManifest("application/vnd.example.data", nil, contenttest.NewBlob("text/plain", "data", 500))
	signature := contenttest.NewArtifactManifest("application/vnd.cncf.notary.signature", &subject, contenttest.NewBlob("text/plain", "signature", 50))
	image.Push(t, a.MemoryRepository, "1")
	alone.Push(t, a.MemoryRepository, "data")
	signature.Push(t, a.MemoryRepository, "")
	data := job("a.test/app:data", "b.test/app:data")
	data.Platforms = platforms("linux/amd64")
	ok(t, run(t, New(w, Options{}), data, withReferrers(job("a.test/app:1", "b.test/app:1")))...)
	for _, got := range []contenttest.Image{image, alone, signature} {
		got.Check(t, b.MemoryRepository)
	}
	if got := b.tag("data"); got != alone.Digest() {
		t.Errorf("the tag of the artifact points at %q", got)
	}
}

// byTagOnly is a source that does not find its manifest root by the digest. stale is the digest that
// it says its tag has, if it is not empty.
type byTagOnly struct {
	*wire
	root   digest.Digest
	stale  digest.Digest
	counts bool
}

func (s *byTagOnly) CountsPulls() bool { return s.counts }

func (s *byTagOnly) Resolve(ctx context.Context, reference string) (content.Descriptor, error) {
	d, err := s.wire.Resolve(ctx, reference)
	if s.stale != "" {
		d.Digest = s.stale
	}
	return d, err
}

func (s *byTagOnly) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if d.Digest == s.root || d.Digest == s.stale {
		s.count("refused")
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, content.ErrNotFound)
	}
	return s.wire.FetchManifest(ctx, d)
}

// A registry that answers 404 to digests is read by the tag, once for all destinations.
func TestManifestsThatAreServedByTagOnly(t *testing.T) {
	for name, source := range map[string]*byTagOnly{
		"by tag only":         {},
		"with a pull quota":   {counts: true},
		"with a stale digest": {stale: digest.FromString("older")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			image := twoPlatforms("")
			source.wire, source.root = w.at("a.test/app"), image.Digest()
			image.Push(t, source.MemoryRepository, "1")
			for range 2 { // the second run finds nothing to do
				source.forget()
				e := New(opener{source: source, world: w}, Options{})
				ok(t, run(t, e, job("a.test/app:1", "b.test/app:1", "c.test/app:1"))...)
				if got := source.times("pull 1"); got > 1 {
					t.Errorf("the tag was pulled %d times", got)
				}
			}
			for _, at := range []string{"b.test/app", "c.test/app"} {
				image.Check(t, w.at(at).MemoryRepository)
				if got := w.at(at).tag("1"); got != image.Digest() {
					t.Errorf("%s: the tag points at %q, want %s", at, got, image.Digest())
				}
			}
		})
	}
}

// So are its signatures, and the lists of referrers at both sides.
func TestReferrersThatAreServedByTagOnly(t *testing.T) {
	w := newWorld()
	a, b := w.at("a.test/app"), w.at("b.test/app")
	a.noReferrers, b.noReferrers = true, true
	image := twoPlatforms("")
	signature := contenttest.NewArtifact("application/vnd.dev.cosign", nil, contenttest.NewLayer("sig", 50))
	first, second := sbom(image, "1"), sbom(image, "2")
	for _, place := range []*wire{a, b} {
		image.Push(t, place.MemoryRepository, "1")
	}
	signature.Push(t, a.MemoryRepository, signatureTag(image.Digest()))
	first.Push(t, a.MemoryRepository, "")
	second.Push(t, b.MemoryRepository, "")
	tagLists(t, a, first)
	tagLists(t, b, second)
	list := content.FallbackTag(image.Digest())
	lacks(a, signature.Digest(), a.tag(list))
	lacks(b, b.tag(list))
	ok(t, run(t, New(w, Options{}), withReferrers(job("a.test/app:1", "b.test/app:1")))...)
	if got := b.tag(signatureTag(image.Digest())); got != signature.Digest() {
		t.Errorf("the signature's tag points at %q", got)
	}
	m, err := content.FetchAndParse(t.Context(), b.MemoryRepository, content.Descriptor{Digest: b.tag(list)})
	if err != nil || len(m.Manifests) != 2 {
		t.Errorf("got the list %v, %v, want both referrers", m, err)
	}
}

// A child that is missing is no reason to read the tag, which may count as a pull.
func TestMissingChildCostsNoPull(t *testing.T) {
	w := newWorld()
	a := w.at("a.test/app")
	image := twoPlatforms("")
	image.Push(t, a.MemoryRepository, "1")
	lacks(a, image.Children[1].Digest())
	j := job("a.test/app:1", "b.test/app:1", "c.test/app:1")
	if err := run(t, New(w, Options{}), j)[0].Err(); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
	if got := a.times("pull 1"); got != 0 {
		t.Errorf("the tag was pulled %d times", got)
	}
}

// foreign is a source that lacks its foreign layers, which are elsewhere.
type foreign struct {
	*wire
	layer contenttest.Blob
	bytes []byte
}

func (f *foreign) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	if d.Digest == f.layer.Descriptor.Digest {
		return nil, content.ErrNotFound
	}
	return f.wire.FetchBlob(ctx, d)
}

func (f *foreign) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	if d.Digest == f.layer.Descriptor.Digest {
		return nil, content.ErrNotFound
	}
	return f.wire.FetchBlobRange(ctx, d, offset, length)
}

func (f *foreign) FetchURLs(_ context.Context, d content.Descriptor) (io.ReadCloser, error) {
	f.count("urls")
	if !slices.Equal(d.URLs, f.layer.Descriptor.URLs) {
		return nil, content.ErrNotFound
	}
	body := io.NopCloser(bytes.NewReader(f.bytes))
	if f.times("urls") == 1 { // the first connection breaks in the middle
		return cutAfter(body, int64(len(f.bytes)/2), 0), nil
	}
	return body, nil
}

// Foreign layers that the source lacks are read from their URLs, and verified like all others.
func TestForeignLayersFromTheirURLs(t *testing.T) {
	layer := contenttest.NewBlob(content.MediaTypeDockerForeignLayer, "windows", 200_000)
	image := contenttest.NewDockerImage("windows/amd64", layer, contenttest.NewLayer("top", 300))
	for name, wrong := range map[string]bool{"right": false, "wrong": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				source := &foreign{wire: w.at("a.test/app"), layer: layer, bytes: slices.Clone(layer.Bytes)}
				if wrong {
					source.bytes[0]++
				}
				image.Push(t, source.MemoryRepository, "1")
				j := job("a.test/app:1", "b.test/app:1")
				j.ForeignLayers = true
				result := run(t, New(opener{source: source, world: w}, Options{}), j)[0]
				b := w.at("b.test/app")
				if wrong {
					if !errors.Is(result.Err(), content.ErrMismatch) || b.tag("1") != "" {
						t.Errorf("got %v, want a mismatch and no tag", result.Err())
					}
					return
				}
				ok(t, result)
				image.Check(t, b.MemoryRepository)
				layer.Check(t, b.MemoryRepository)
			})
		})
	}
}
