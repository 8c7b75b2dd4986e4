package store_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

// Other programs may write the index.json of a store. Its invalid names do not become tags, or
// repositories to mount from.
func TestInvalidNames(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	layer := contenttest.NewLayer("layer", 100)
	pull(t, s, built("app", monday, layer), "registry.example/team/app:1")
	editIndex(t, dir, func(index *ocispec.Index) {
		good := index.Manifests[0]
		for _, name := range []string{"registry.example/team/app:../../victim/manifests/1", "registry.example/team/app:", "registry.example/other:-x"} {
			bad := good
			bad.Annotations = map[string]string{
				ocispec.AnnotationRefName:   name,
				"io.github.regsync.seen-at": "registry.example/team/..,registry.example/team/app",
			}
			index.Manifests = append(index.Manifests, bad)
		}
		bad := good
		bad.Digest = "sha256:../../x"
		bad.Annotations = map[string]string{ocispec.AnnotationRefName: "registry.example/team/app:2"}
		index.Manifests = append(index.Manifests, bad)
	})

	var tags []string
	var invalid *content.InvalidNamesError
	for tag, err := range s.Repository(parse(t, "registry.example/team/app")).Tags(t.Context()) {
		if invalid, err = content.SplitInvalidNames(err); err != nil {
			t.Fatal(err)
		}
		if invalid == nil {
			tags = append(tags, tag)
		}
	}
	if !slices.Equal(tags, []string{"1"}) {
		t.Errorf("tags: got %q", tags)
	}
	want := []string{"registry.example/team/app:2@sha256:../../x", "registry.example/team/app:../../victim/manifests/1", "registry.example/team/app:"}
	if invalid == nil || invalid.Count != 3 || !slices.Equal(invalid.First, want) {
		t.Errorf("left out %+v, want %q", invalid, want)
	}

	images, err := s.Images(t.Context())
	if invalid, failure := content.SplitInvalidNames(err); failure != nil || invalid == nil || invalid.Count != 1 || len(images) != 4 {
		t.Errorf("got %d images and %v, want 4 and 1 left out", len(images), err)
	}
	if image, err := s.Find(t.Context(), "registry.example/team/app:1"); err != nil || image.Err != nil {
		t.Errorf("find: got %v and %v", err, image.Err)
	}
	if got := s.MountHints("registry.example", layer.Descriptor.Digest); !slices.Equal(got, []string{"team/app"}) {
		t.Errorf("mount hints: got %q", got)
	}
}

func editIndex(t *testing.T, dir string, edit func(*ocispec.Index)) {
	t.Helper()
	path := filepath.Join(dir, "index.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	edit(&index)
	if raw, err = json.Marshal(index); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
