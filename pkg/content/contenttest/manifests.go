package contenttest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

func digestOf(s string) digest.Digest { return digest.Digest(s) }

func (s suite) location(t *testing.T) {
	target := s.Open(t)
	first, again := target.Location(), target.Location()
	if first.Registry == "" {
		t.Error("the location names no registry")
	}
	if first != again {
		t.Errorf("two locations of one target: %v and %v", first, again)
	}
	if other := s.Open(t).Location(); other.Registry == first.Registry {
		t.Errorf("two registries have one location: %v", other)
	}
}

func (s suite) images(t *testing.T) {
	for name, image := range Images() {
		t.Run(name, func(t *testing.T) {
			target := s.Open(t)
			image.Push(t, target, "v1")
			s.requireImage(t, target, "v1", image)
			if s.Reopen != nil {
				s.requireImage(t, s.Reopen(t, target), "v1", image)
			}
		})
	}
}

// requireImage checks that the tag, and the digest of each manifest, resolve to image and
// that it is there byte for byte.
func (s suite) requireImage(t *testing.T, target content.Target, tag string, image Image) {
	t.Helper()
	requireResolved(t, target, tag, image)
	requireResolved(t, target, image.Digest().String(), image)
	for _, child := range image.Children {
		requireResolved(t, target, child.Digest().String(), child)
	}
	image.Check(t, target)
	unknownSize := image.Descriptor()
	unknownSize.Size = 0
	if raw, err := target.FetchManifest(t.Context(), unknownSize); err != nil || !bytes.Equal(raw, image.Root.Bytes) {
		t.Errorf("fetch manifest of unknown size: got %d bytes and %v", len(raw), err)
	}
}

func requireResolved(t *testing.T, source content.Resolver, reference string, want Image) {
	t.Helper()
	got, err := source.Resolve(t.Context(), reference)
	if err != nil {
		t.Errorf("resolve %s: %v", reference, err)
		return
	}
	if got.Digest != want.Digest() || got.Size != want.Descriptor().Size || got.MediaType != want.Descriptor().MediaType {
		t.Errorf("resolve %s: got %s %s %d, want %s %s %d", reference, got.MediaType, got.Digest, got.Size,
			want.Descriptor().MediaType, want.Digest(), want.Descriptor().Size)
	}
}

func requireNothing(t *testing.T, source content.Resolver, reference string) {
	t.Helper()
	if d, err := source.Resolve(t.Context(), reference); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("resolve %s: got %s and %v, want not found", reference, d.Digest, err)
	}
}

func (s suite) notFound(t *testing.T) {
	target := s.Open(t)
	image := NewImage("linux/amd64", NewLayer("here", 100))
	absent := NewImage("linux/amd64", NewLayer("not here", 100))
	check := func(state string) {
		t.Helper()
		requireNothing(t, target, "absent")
		requireNothing(t, target, absent.Digest().String())
		if _, err := target.FetchManifest(t.Context(), absent.Descriptor()); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("%s: fetch manifest: got %v, want not found", state, err)
		}
		requireBlob(t, target, absent.Blobs[0], false)
	}
	check("an empty repository")
	image.Push(t, target, "v1")
	check("a repository with another image")
}

func (s suite) badManifests(t *testing.T) {
	target := s.Open(t)
	image := NewImage("linux/amd64", NewLayer("good", 100))
	image.Push(t, target, "good")
	d := image.Descriptor()
	other := NewIndex(image)
	longer := d
	longer.Size++
	for name, test := range map[string]struct {
		d   content.Descriptor
		raw []byte
	}{
		"other bytes": {d, other.Root.Bytes},
		"short bytes": {d, image.Root.Bytes[:len(image.Root.Bytes)-1]},
		"wrong size":  {longer, image.Root.Bytes},
	} {
		if _, err := target.PushManifest(t.Context(), test.d, test.raw, "bad"); !errors.Is(err, content.ErrMismatch) {
			t.Errorf("push %s: got %v, want a mismatch", name, err)
		}
	}
	if _, err := target.FetchManifest(t.Context(), longer); !errors.Is(err, content.ErrMismatch) {
		t.Errorf("fetch a manifest of another size: got %v, want a mismatch", err)
	}
	requireNothing(t, target, "bad")
	requireNothing(t, target, other.Digest().String())
	requireResolved(t, target, "good", image)
}

func (s suite) missingParts(t *testing.T) {
	if !s.Strict {
		return
	}
	image := NewImage("linux/amd64", NewLayer("missing", 100))
	withoutLayer, withoutConfig := image, image
	withoutLayer.Blobs, withoutConfig.Blobs = image.Blobs[:1], image.Blobs[1:]
	index := NewIndex(image)
	withoutChild := index
	withoutChild.Children = nil
	for name, incomplete := range map[string]Image{
		"a layer": withoutLayer, "the config": withoutConfig, "a child": withoutChild,
	} {
		target := s.Open(t)
		for _, blob := range incomplete.Blobs {
			blob.Push(t, target)
		}
		if _, err := target.PushManifest(t.Context(), incomplete.Descriptor(), incomplete.Root.Bytes, "v1"); err == nil {
			t.Errorf("push a manifest without %s: got nil, want an error", name)
		}
		requireNothing(t, target, "v1")
		requireNothing(t, target, incomplete.Digest().String())
	}
}

func (s suite) retag(t *testing.T) {
	target := s.Open(t)
	first := NewImage("linux/amd64", NewLayer("first", 100))
	second := NewImage("linux/amd64", NewLayer("second", 100))
	first.Push(t, target, "latest")
	first.Push(t, target, "v1")
	second.Push(t, target, "latest")
	requireResolved(t, target, "latest", second)
	requireResolved(t, target, "v1", first)
	first.Push(t, target, "latest")
	requireResolved(t, target, "latest", first)
	if s.Reopen != nil {
		target = s.Reopen(t, target)
		requireResolved(t, target, "latest", first)
		requireResolved(t, target, "v1", first)
	}
}
