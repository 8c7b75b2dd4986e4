package registrytest_test

import (
	"bytes"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
)

func TestFixturesAreWhatTheSpecificationSays(t *testing.T) {
	base := registrytest.Layer{Size: 100, Seed: 7}
	first := registrytest.Image(registrytest.ImageSpec{Seed: 1, Layers: []registrytest.Layer{base, {}}})
	second := registrytest.Image(registrytest.ImageSpec{Seed: 2, Layers: []registrytest.Layer{base, {}}})
	if first.Layers[0].Digest != second.Layers[0].Digest || first.Layers[1].Digest == second.Layers[1].Digest {
		t.Error("what has the same seed is shared, and nothing else")
	}
	again := registrytest.Image(registrytest.ImageSpec{Seed: 1, Layers: []registrytest.Layer{base, {}}})
	if !bytes.Equal(first.Raw, again.Raw) {
		t.Error("the same specification gave other bytes")
	}
	for name, f := range map[string]*registrytest.Fixture{
		"image":    first,
		"docker":   registrytest.Image(registrytest.ImageSpec{Docker: true}),
		"list":     registrytest.Index(registrytest.IndexSpec{Docker: true}, registrytest.Image(registrytest.ImageSpec{Docker: true})),
		"nested":   registrytest.Index(registrytest.IndexSpec{}, registrytest.Index(registrytest.IndexSpec{}, first)),
		"artifact": registrytest.Image(registrytest.ImageSpec{ConfigMediaType: "application/x", Subject: first}),
	} {
		m, err := content.ParseManifest(f.Descriptor, f.Raw)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Descriptor.MediaType != f.Descriptor.MediaType || m.Descriptor.Digest != f.Digest() {
			t.Errorf("%s: %+v", name, m.Descriptor)
		}
		if f.Descriptor.Platform != nil && name == "artifact" {
			t.Error("an artifact has no platform")
		}
	}
}

// The figures of issue 2 are about an index of two platforms with seven blobs, one shared.
func TestPlatforms(t *testing.T) {
	index := registrytest.Platforms(1, "linux/amd64", "linux/arm64/v8")
	if got := len(index.AllBlobs()); got != 7 {
		t.Errorf("%d unique blobs, want 7", got)
	}
	if got := index.Children[1].Descriptor.Platform; got.Variant != "v8" || got.Architecture != "arm64" {
		t.Errorf("platform %+v", got)
	}
}
