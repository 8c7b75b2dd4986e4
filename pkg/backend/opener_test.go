package backend_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

var _ transfer.Opener = (*backend.Opener)(nil)

func newOpener(t *testing.T) *backend.Opener {
	t.Helper()
	o := backend.New(backend.Options{Store: filepath.Join(t.TempDir(), "store")})
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func parse(t *testing.T, s string) reference.Reference {
	t.Helper()
	ref, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestLocations(t *testing.T) {
	dir := t.TempDir()
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := newOpener(t)
	for name, want := range map[string]content.Location{
		"nginx:1.25":                     {Registry: "docker.io", Repository: "library/nginx"},
		"localhost:5000/team/app":        {Registry: "localhost:5000", Repository: "team/app"},
		"oci:" + filepath.Join(dir, "x"): {Registry: "oci:" + filepath.Join(resolved, "x")},
	} {
		target, err := o.OpenTarget(t.Context(), parse(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := target.Location(); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestEqualPlacesAreOpenedOnce(t *testing.T) {
	o := newOpener(t)
	dir := filepath.Join(t.TempDir(), "layout")
	for _, pair := range [][2]string{
		{"nginx:1", "docker.io/library/nginx:2"},
		{"store:nginx:1", "store:nginx:2"},
		{"oci:" + dir + ":1", "oci:" + dir + ":2"},
	} {
		first, err := o.OpenTarget(t.Context(), parse(t, pair[0]))
		if err != nil {
			t.Fatal(err)
		}
		second, err := o.OpenTarget(t.Context(), parse(t, pair[1]))
		if err != nil {
			t.Fatal(err)
		}
		if first != second {
			t.Errorf("%s and %s are two values", pair[0], pair[1])
		}
	}
}

// A layout remembers which blobs it has checked, so reader and writer have to be one value,
// however its path was written.
func TestLayoutIsOneForReadingAndWriting(t *testing.T) {
	o := newOpener(t)
	dir := t.TempDir()
	target, err := o.OpenTarget(t.Context(), parse(t, "oci:"+dir+"/a"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := o.OpenSource(t.Context(), parse(t, "oci:"+dir+"/b/../a:1"))
	if err != nil {
		t.Fatal(err)
	}
	if content.Source(target) != source {
		t.Error("two values for one layout")
	}
}

func TestReadingMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	_, err := newOpener(t).OpenSource(t.Context(), parse(t, "oci:"+dir))
	if !errors.Is(err, content.ErrNotFound) {
		t.Errorf("got %v, want an ErrNotFound", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestFailureIsNotKept(t *testing.T) {
	o := newOpener(t)
	ref := parse(t, "oci:"+filepath.Join(t.TempDir(), "layout"))
	if _, err := o.OpenSource(t.Context(), ref); err == nil {
		t.Fatal("a layout that is not there was opened")
	}
	if _, err := o.OpenTarget(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if _, err := o.OpenSource(t.Context(), ref); err != nil {
		t.Errorf("the layout is there now: %v", err)
	}
}

func TestUnsupportedTransports(t *testing.T) {
	o := newOpener(t)
	for name, transport := range map[string]reference.Transport{
		"oci-archive:a.tar": reference.OCIArchive, "docker-archive:a.tar": reference.DockerArchive, "docker-daemon:app": reference.DockerDaemon,
	} {
		_, sourceErr := o.OpenSource(t.Context(), parse(t, name))
		_, targetErr := o.OpenTarget(t.Context(), parse(t, name))
		for _, err := range []error{sourceErr, targetErr} {
			unsupported, ok := errors.AsType[*backend.UnsupportedTransportError](err)
			if !ok || unsupported.Transport != transport || !errors.Is(err, content.ErrUnsupported) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
}
