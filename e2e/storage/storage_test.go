package storage

import (
	"os"
	"testing"
)

func TestMissing(t *testing.T) {
	s := New(t.TempDir())
	r := s.Repository("team/app")
	image := r.Image("linux/amd64", "one", r.Layer("a layer", 1000))
	r.Tag("1", image)
	r.Tag("2", r.Index(image))
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name          string
		change        func(dir string) error
		missing, tags int
	}{
		{"everything", func(string) error { return nil }, 0, 2},
		{"a tag removed", func(dir string) error { return os.Remove(tagLink(dir, r.Name, "1")) }, 1, 1},
		{"another digest", func(dir string) error { return replace(tagLink(dir, r.Name, "2"), image.Digest.String()) }, 1, 1},
		{"a manifest that is not in the repository", func(dir string) error { return os.Remove(revisionLink(dir, r.Name, image.Digest)) }, 1, 2},
		{"another content", func(dir string) error { return replace(blobFile(dir, image.Digest), "{}") }, 1, 2},
		{"an empty folder", func(dir string) error { return os.RemoveAll(root(dir)) }, 2 + 2 + 2 + 4, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := s.CopyTo(dir); err != nil {
				t.Fatal(err)
			}
			if err := test.change(dir); err != nil {
				t.Fatal(err)
			}
			if missing, tags := s.Missing(dir); len(missing) != test.missing || tags != test.tags {
				t.Errorf("%d tags; missing: %q", tags, missing)
			}
			if missing, _ := s.Missing(s.Dir); len(missing) > 0 {
				t.Fatalf("the original has changed: %q", missing)
			}
		})
	}
}

// replace writes a new file, as distribution does.
func replace(file, text string) error {
	if err := os.Remove(file); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o600)
}
