package layout_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
)

func open(t *testing.T, path string) *layout.Layout {
	t.Helper()
	l, err := layout.OpenOrCreate(path)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestConformance(t *testing.T) {
	abilities := contenttest.AllAbilities()
	abilities.Mount = false    // a layout has no repositories
	abilities.FetchTag = false // and no requests to save
	contenttest.Run(t, contenttest.Backend{
		Open: func(t *testing.T) content.Target { return open(t, filepath.Join(t.TempDir(), "new", "layout")) },
		Reopen: func(t *testing.T, target content.Target) content.Target {
			before := target.(*layout.Layout)
			if err := before.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			return open(t, before.Path())
		},
		Abilities: abilities,
		Strict:    true,
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	image := contenttest.NewIndex(contenttest.NewImage("linux/amd64", contenttest.NewLayer("l", 1000)))
	image.Push(t, l, "v1")
	upload, err := l.StartUpload(t.Context(), contenttest.NewLayer("cancelled", 10).Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	if err := upload.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{".regsync/index.lock", ".regsync/writers.lock", "index.json", "oci-layout"}
	for _, blob := range append(image.Children[0].Blobs, image.Children[0].Root, image.Root) {
		want = append(want, "blobs/sha256/"+blob.Descriptor.Digest.Encoded())
	}
	slices.Sort(want)
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("got the files\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// files lists the files below dir by their path inside it.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestOpen(t *testing.T) {
	const version = `{"imageLayoutVersion":"1.0.0"}`
	const empty = `{"schemaVersion":2,"manifests":[]}`
	for _, test := range []struct {
		name  string
		files map[string]string
		want  error
		says  string
	}{
		{"empty directory", nil, content.ErrNotFound, "no file oci-layout"},
		{"no index", map[string]string{"oci-layout": version}, content.ErrNotFound, "no file index.json"},
		{"other version", map[string]string{"oci-layout": `{"imageLayoutVersion":"2.0.0"}`, "index.json": empty}, content.ErrUnsupported, `version "2.0.0"`},
		{"not JSON", map[string]string{"oci-layout": "hello", "index.json": empty}, content.ErrInvalid, "oci-layout"},
		{"good", map[string]string{"oci-layout": version, "index.json": empty}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.files {
				write(t, filepath.Join(dir, name), text)
			}
			_, err := layout.Open(dir)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil && (!strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), dir)) {
				t.Errorf("got %q, want it to name %s and say %q", err, dir, test.says)
			}
			if got := files(t, dir); len(got) != len(test.files) {
				t.Errorf("opening for reading wrote: %q", got)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := layout.Open(missing); !errors.Is(err, content.ErrNotFound) || !strings.Contains(err.Error(), "no such directory") {
		t.Errorf("open a missing directory: got %v", err)
	}
}

func TestOpenOrCreateRefusesOtherPeoplesFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "thesis.tex"), "chapter 1")
	if _, err := layout.OpenOrCreate(dir); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files were written: %q", got)
	}
}

func TestOpenOrCreateFinishesWhatWasKilled(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if err := os.Remove(filepath.Join(dir, "oci-layout")); err != nil { // it is written last
		t.Fatal(err)
	}
	contenttest.NewImage("linux/amd64").Push(t, open(t, dir), "v1")
}

func TestLocationIsTheSameForEveryWayToWriteThePath(t *testing.T) {
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "a"))
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	linked := open(t, filepath.Join(dir, "link")+"/../link/.")
	if l.Location() != linked.Location() {
		t.Errorf("got %v and %v", l.Location(), linked.Location())
	}
	if want := "oci:" + l.Path(); l.Location().Registry != want || !filepath.IsAbs(l.Path()) {
		t.Errorf("got %v, want %v", l.Location().Registry, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
