package backend_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// The shapes that the conformance suite of the OCI distribution specification pushes go from
// place to place with everything that is attached to them, and arrive byte for byte.
func TestShapesGoFromPlaceToPlace(t *testing.T) {
	withAPI := registrytest.New(t, registrytest.With(registrytest.ReferrersAPI)).Host()
	without := registrytest.New(t).Host()
	back := registrytest.New(t, registrytest.With(registrytest.ReferrersAPI)).Host()
	for name, image := range contenttest.Images() {
		repository := "/" + strings.ReplaceAll(strings.ToLower(name), " ", "-") + ":v1"
		layout := "oci:" + filepath.Join(t.TempDir(), "layout") + ":v1"
		places := []string{withAPI + repository, without + repository, layout, back + repository, "store:team" + repository, without + "/again" + repository}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOpener(t) // one store per shape: a store keeps manifests for all repositories, and some shapes share a child
			attached := attachedTo(image)
			attached.push(t, open(t, o, parse(t, places[0])), "v1")
			for i, to := range places[1:] {
				copyImage(t, o, parse(t, places[i]), parse(t, to))
				attached.check(t, open(t, o, parse(t, to)), "v1")
			}
		})
	}
}

// A manifest that is named by its digest alone keeps it.
func TestShapesByDigest(t *testing.T) {
	host := registrytest.New(t).Host()
	o := newOpener(t)
	for name, image := range contenttest.Images() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repository := host + "/" + strings.ReplaceAll(strings.ToLower(name), " ", "-")
			by := "@" + image.Digest().String()
			places := []string{repository + "/a" + by, "oci:" + filepath.Join(t.TempDir(), "layout") + by, repository + "/b" + by}
			image.Push(t, open(t, o, parse(t, places[0])), "")
			for i, to := range places[1:] {
				copyImage(t, o, parse(t, places[i]), parse(t, to))
				image.Check(t, open(t, o, parse(t, to)))
			}
		})
	}
}

func open(t *testing.T, o transfer.Opener, ref reference.Reference) content.Target {
	t.Helper()
	target, err := o.OpenTarget(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// copyImage copies with all that is attached, twice: the second time nothing is left to do.
func copyImage(t *testing.T, o transfer.Opener, from, to reference.Reference) {
	t.Helper()
	for _, want := range []transfer.Action{transfer.ActionAdd, transfer.ActionUnchanged} {
		job := transfer.Job{Source: from, Destinations: []reference.Reference{to}, Referrers: true}
		err := transfer.New(o, transfer.Options{}).Run(t.Context(), slices.Values([]transfer.Job{job}), func(r *transfer.Result) {
			if d := r.Destinations[0]; r.Err() != nil || len(r.Warnings) > 0 || d.Action != want || want == transfer.ActionUnchanged && d.Referrers > 0 {
				t.Errorf("%v to %v: %s with %d referrers, %v, warnings %v; want %s", from, to, d.Action, d.Referrers, r.Err(), r.Warnings, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// attached is an image with referrers of both schemes.
type attached struct {
	image     contenttest.Image
	referrers []contenttest.Image          // of the image, of its first child, of the first referrer
	tags      map[string]contenttest.Image // cosign's
}

func attachedTo(image contenttest.Image) attached {
	of := func(subject contenttest.Image, name string) contenttest.Image {
		d := subject.Descriptor()
		d.Data = nil
		return contenttest.NewArtifact("application/vnd.example.sbom", &d, contenttest.NewBlob("text/plain", image.Digest().String()+name, 40))
	}
	a := attached{image: image, referrers: []contenttest.Image{of(image, "1"), of(image, "2")}, tags: map[string]contenttest.Image{}}
	a.referrers = append(a.referrers, of(a.referrers[0], "3"))
	if len(image.Children) > 0 {
		a.referrers = append(a.referrers, of(image.Children[0], "4"))
	}
	if image.Digest().Algorithm() == digest.SHA256 {
		for _, suffix := range []string{".sig", ".att", ".sbom"} {
			a.tags[content.FallbackTag(image.Digest())+suffix] = contenttest.NewArtifact("application/vnd.example.cosign", nil,
				contenttest.NewBlob("text/plain", image.Digest().String()+suffix, 30))
		}
	}
	return a
}

func (a attached) push(t *testing.T, to content.Target, tag string) {
	t.Helper()
	a.image.Push(t, to, tag)
	for _, r := range a.referrers {
		r.Push(t, to, "")
	}
	for tag, r := range a.tags {
		r.Push(t, to, tag)
	}
}

func (a attached) check(t *testing.T, at content.Target, tag string) {
	t.Helper()
	requireTag(t, at, tag, a.image)
	for tag, r := range a.tags {
		requireTag(t, at, tag, r)
	}
	for _, r := range a.referrers {
		r.Check(t, at)
		m, err := content.ParseManifest(r.Descriptor(), r.Root.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		contenttest.RequireReferrer(t, at, m.Subject.Digest, r)
	}
}

func requireTag(t *testing.T, at content.Target, tag string, want contenttest.Image) {
	t.Helper()
	if d, err := at.Resolve(t.Context(), tag); err != nil || d.Digest != want.Digest() || d.Size != want.Descriptor().Size {
		t.Errorf("%s in %v is %s, %v; want %s", tag, at.Location(), d.Digest, err, want.Digest())
	}
	want.Check(t, at)
}

// A sparse index lacks a child. Its other platforms are copied; to copy all of it is an error that
// names the child, and leaves no tag.
func TestSparseIndex(t *testing.T) {
	source := registrytest.New(t)
	to := registrytest.New(t).Host() + "/app:1"
	o := newOpener(t)
	amd64, lost := contenttest.NewImage("linux/amd64", contenttest.NewLayer("there", 30)), contenttest.NewImage("linux/arm64", contenttest.NewLayer("lost", 30))
	index := contenttest.NewIndex(amd64, lost)
	layout := "oci:" + filepath.Join(t.TempDir(), "layout") + ":1"
	for _, from := range []string{source.Reference("app", "1"), layout} {
		index.Push(t, open(t, o, parse(t, from)), "1")
	}
	source.DeleteManifest("app", lost.Digest().String())
	file := filepath.Join(parse(t, layout).Path, "blobs", "sha256", lost.Digest().Encoded())
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{source.Reference("app", "1"), layout} {
		run := func(platforms ...content.Platform) (result *transfer.Result) {
			job := transfer.Job{Source: parse(t, from), Destinations: []reference.Reference{parse(t, to)}, Platforms: platforms, Referrers: true}
			err := transfer.New(o, transfer.Options{}).Run(t.Context(), slices.Values([]transfer.Job{job}), func(r *transfer.Result) { result = r })
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
		if err := run().Err(); !errors.Is(err, content.ErrNotFound) || !strings.Contains(err.Error(), lost.Digest().String()) {
			t.Errorf("all of %s: %v, want that %s is not found", from, err, lost.Digest())
		}
		if d, err := open(t, o, parse(t, to)).Resolve(t.Context(), "1"); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("a part of %s is tagged: %v, %v", from, d, err)
		}
		if err := run(*amd64.Platform()).Err(); err != nil {
			t.Errorf("one platform of %s: %v", from, err)
		}
		requireTag(t, open(t, o, parse(t, to)), "1", amd64)
		to = strings.Replace(to, "app", "again", 1)
	}
}
