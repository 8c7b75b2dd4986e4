package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/backend/store"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func parse(t *testing.T, s string) reference.Reference {
	t.Helper()
	ref, err := reference.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func directory(t *testing.T, s *store.Store) string {
	t.Helper()
	return s.Repository(parse(t, "nginx")).Path()
}

func TestConformance(t *testing.T) {
	stores := map[string]*store.Store{}
	repository := func(t *testing.T, dir, name string) content.Target {
		s := open(t, dir)
		r := s.Repository(parse(t, name))
		stores[r.Location().Registry] = s
		return r
	}
	abilities := contenttest.AllAbilities()
	abilities.FetchTag = false // no requests to save
	contenttest.Run(t, contenttest.Backend{
		Open: func(t *testing.T) content.Target {
			return repository(t, filepath.Join(t.TempDir(), "store"), "registry.example/team/app")
		},
		Reopen: func(t *testing.T, target content.Target) content.Target {
			before := stores[target.Location().Registry]
			if err := before.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			return repository(t, directory(t, before), "registry.example/team/app")
		},
		Sibling: func(t *testing.T, target content.Target) content.Target {
			return stores[target.Location().Registry].Repository(parse(t, "nginx"))
		},
		Abilities: abilities,
		Strict:    true,
	})
}

func pull(t *testing.T, s *store.Store, image contenttest.Image, names ...string) {
	t.Helper()
	for _, name := range names {
		ref := parse(t, name)
		image.Push(t, s.Repository(ref), ref.Tag)
		if err := s.Seen(t.Context(), image.Digest(), ref); err != nil {
			t.Fatal(err)
		}
	}
}

// built is an image with a date and a history.
func built(seed string, when time.Time, layers ...contenttest.Blob) contenttest.Image {
	host := content.HostPlatform()
	config := ocispec.Image{Platform: host, Created: &when, Author: seed}
	for range layers {
		config.History = append(config.History, ocispec.History{Created: &when, CreatedBy: "ADD " + seed})
	}
	config.History = append(config.History, ocispec.History{Created: &when, CreatedBy: "CMD " + seed, EmptyLayer: true})
	return contenttest.NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest},
		contenttest.JSON(ocispec.MediaTypeImageConfig, config), layers...)
}

func size(blobs ...contenttest.Blob) (sum int64) {
	for _, blob := range blobs {
		sum += blob.Descriptor.Size
	}
	return sum
}

var (
	monday  = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	tuesday = monday.Add(24 * time.Hour)
)

func TestImages(t *testing.T) {
	s := open(t, t.TempDir())
	base := contenttest.NewLayer("base", 10_000)
	old := built("old", monday, base, contenttest.NewLayer("old", 500))
	young := built("young", tuesday, base, contenttest.NewLayer("young", 700))
	pull(t, s, old, "nginx:1", "registry.example/team/nginx:1")
	pull(t, s, young, "nginx:2")
	subject := young.Descriptor()
	contenttest.NewArtifact("application/vnd.example.signature", &subject).Push(t, s.Repository(parse(t, "nginx")), "")

	images, err := s.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, image := range images {
		names = append(names, image.Reference.Familiar())
	}
	if want := []string{"nginx:2", "nginx:1", "registry.example/team/nginx:1"}; !slices.Equal(names, want) {
		t.Fatalf("got %q, want %q", names, want)
	}
	for i, want := range []contenttest.Image{young, old, old} {
		got := images[i]
		if got.Err != nil || got.Digest != want.Digest() || got.ID != want.Blobs[0].Descriptor.Digest {
			t.Errorf("%s: got digest %s, ID %s, %v", names[i], got.Digest, got.ID, got.Err)
		}
		wantSize := size(append(want.Blobs, want.Root)...)
		if got.Size != wantSize || got.Unique != wantSize-base.Descriptor.Size {
			t.Errorf("%s: got %d bytes, %d unique, want %d and %d", names[i], got.Size, got.Unique, wantSize, wantSize-base.Descriptor.Size)
		}
	}
	if !images[0].Created.Equal(tuesday) || len(images[0].Platforms) != 1 {
		t.Errorf("got created %v, platforms %v", images[0].Created, images[0].Platforms)
	}
}

func TestIndexIsOneImage(t *testing.T) {
	s := open(t, t.TempDir())
	host := built("host", monday, contenttest.NewLayer("host", 100))
	other := contenttest.NewImage("windows/amd64", contenttest.NewLayer("other", 200))
	attestation := contenttest.NewImage("unknown/unknown", contenttest.NewLayer("attestation", 50))
	index := contenttest.NewIndex(other, host, attestation)
	pull(t, s, index, "app:1")
	image, err := s.Find(t.Context(), "app:1")
	if err != nil {
		t.Fatal(err)
	}
	if image.ID != host.Blobs[0].Descriptor.Digest || image.Digest != index.Digest() || !image.Created.Equal(monday) {
		t.Errorf("got ID %s of %s, created %v, want the host's", image.ID, image.Digest, image.Created)
	}
	if len(image.Platforms) != 2 {
		t.Errorf("got platforms %v, want two", image.Platforms)
	}
	var all []contenttest.Blob
	for _, child := range index.Children {
		all = append(append(all, child.Root), child.Blobs...)
	}
	if want := size(append(all, index.Root)...); image.Size != want {
		t.Errorf("got %d bytes, want %d", image.Size, want)
	}

	foreign := contenttest.NewIndex(other, contenttest.NewImage("windows/arm64"))
	pull(t, s, foreign, "foreign:1")
	if image, err := s.Find(t.Context(), "foreign:1"); err != nil || image.ID != other.Blobs[0].Descriptor.Digest {
		t.Errorf("without the host's platform: got ID %s and %v, want the first", image.ID, err)
	}
	artifact := contenttest.NewArtifact("application/vnd.example.chart", nil)
	pull(t, s, artifact, "chart:1")
	if image, err := s.Find(t.Context(), "chart:1"); err != nil || image.ID != artifact.Digest() || len(image.Platforms) != 0 {
		t.Errorf("an artifact: got ID %s, platforms %v and %v, want the manifest's digest", image.ID, image.Platforms, err)
	}
}

func TestFind(t *testing.T) {
	s := open(t, t.TempDir())
	image := built("find", monday)
	pull(t, s, image, "nginx:1.25", "registry.example:5000/team/app:1.1")
	id := image.Blobs[0].Descriptor.Digest
	pulledByDigest := built("by digest", monday)
	pulledByDigest.Push(t, s.Repository(parse(t, "redis")), "")
	if err := s.Seen(t.Context(), pulledByDigest.Digest(), parse(t, "redis")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		input string
		want  contenttest.Image
	}{
		{"nginx:1.25", image},
		{"docker.io/library/nginx:1.25", image},
		{"store:nginx:1.25", image},
		{"registry.example:5000/team/app:1.1", image},
		{id.Encoded(), image},
		{id.String(), image},
		{id.Encoded()[:12], image},
		{"sha256:" + id.Encoded()[:12], image},
		{image.Digest().String(), image},
		{"nginx@" + image.Digest().String(), image},
		{"nginx:1.25@" + image.Digest().String(), image},
		{"redis@" + pulledByDigest.Digest().String(), pulledByDigest},
	} {
		if got, err := s.Find(t.Context(), test.input); err != nil || got.Digest != test.want.Digest() {
			t.Errorf("find %s: got %s and %v, want %s", test.input, got.Digest, err, test.want.Digest())
		}
	}
	for _, input := range []string{"nginx", "nginx:1", "redis", "ffffffffffff", "nginx@" + pulledByDigest.Digest().String(), "sha256:" + strings.Repeat("0", 64)} {
		if got, err := s.Find(t.Context(), input); !errors.Is(err, content.ErrNotFound) {
			t.Errorf("find %s: got %s and %v, want not found", input, got.Digest, err)
		}
	}
	if _, err := s.Find(t.Context(), "Nginx"); err == nil || errors.Is(err, content.ErrNotFound) {
		t.Errorf("find a name that cannot be: got %v, want the reference's error", err)
	}
}

func TestFindAmbiguousID(t *testing.T) {
	s := open(t, t.TempDir())
	byFirst := map[string]digest.Digest{}
	for i := 0; ; i++ {
		image := built(strings.Repeat("x", i), monday)
		pull(t, s, image, "app:"+string(rune('a'+i)))
		id := image.Blobs[0].Descriptor.Digest
		first := id.Encoded()[:1]
		if other, is := byFirst[first]; is {
			_, err := s.Find(t.Context(), first)
			ambiguous, is := errors.AsType[*store.AmbiguousError](err)
			if !is || len(ambiguous.Images) != 2 {
				t.Fatalf("got %v, want two images", err)
			}
			for _, part := range []string{other.Encoded()[:12], id.Encoded()[:12]} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not list %q", err, part)
				}
			}
			return
		}
		byFirst[first] = id
	}
}

func TestTag(t *testing.T) {
	s := open(t, t.TempDir())
	image, other := built("tag", monday), built("other", monday)
	pull(t, s, image, "nginx:1")
	pull(t, s, other, "mine:1")
	if err := s.Tag(t.Context(), "nginx:1", parse(t, "registry.example/ns/app:1.1")); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), image.Blobs[0].Descriptor.Digest.Encoded()[:12], parse(t, "mine:1")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nginx:1", "mine:1", "registry.example/ns/app:1.1"} {
		ref := parse(t, name)
		if d, err := s.Repository(ref).Resolve(t.Context(), ref.Tag); err != nil || d.Digest != image.Digest() {
			t.Errorf("%s: got %s and %v, want %s", name, d.Digest, err, image.Digest())
		}
	}
	for range 2 { // the second time changes nothing
		if err := s.Tag(t.Context(), "nginx:1", parse(t, "nginx:1")); err != nil {
			t.Errorf("tag with its own name: %v", err)
		}
	}
	if err := s.Tag(t.Context(), "absent:1", parse(t, "b:1")); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("tag what is not there: got %v", err)
	}
	if err := s.Tag(t.Context(), "nginx:1", parse(t, "b@"+image.Digest().String())); !errors.Is(err, content.ErrInvalid) {
		t.Errorf("tag as a digest: got %v", err)
	}
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 3 {
		t.Errorf("got %d images and %v, want 3", len(images), err)
	}
}

func TestRemove(t *testing.T) {
	s := open(t, t.TempDir())
	base := contenttest.NewLayer("base", 10_000)
	image := built("removed", monday, base, contenttest.NewLayer("own", 4000))
	kept := built("kept", monday, base)
	pull(t, s, image, "nginx:1", "nginx:latest", "registry.example/app:1")
	pull(t, s, kept, "kept:1")
	id := image.Blobs[0].Descriptor.Digest
	if err := s.Close(); err != nil { // the pull's process has ended
		t.Fatal(err)
	}

	removal, err := s.Remove(t.Context(), "nginx:1", false)
	if err != nil || !slices.Equal(removal.Untagged, []string{"nginx:1"}) || len(removal.Deleted) != 0 || removal.Freed != 0 {
		t.Fatalf("one name of three: got %+v and %v", removal, err)
	}
	_, err = s.Remove(t.Context(), id.Encoded()[:12], false)
	if conflict, is := errors.AsType[*store.ConflictError](err); !is || len(conflict.Names) != 2 {
		t.Errorf("an ID with names in two repositories: got %v, want a conflict", err)
	}
	removal, err = s.Remove(t.Context(), id.Encoded()[:12], true)
	if err != nil || !slices.Equal(removal.Untagged, []string{"nginx:latest", "registry.example/app:1"}) || !slices.Equal(removal.Deleted, []digest.Digest{id}) {
		t.Fatalf("by force: got %+v and %v", removal, err)
	}
	if want := size(image.Root, image.Blobs[0], image.Blobs[2]); removal.Freed != want || removal.Deferred {
		t.Errorf("got %d bytes freed, deferred %v, want %d at once", removal.Freed, removal.Deferred, want)
	}
	kept.Check(t, s.Repository(parse(t, "kept")))
	if _, err := s.Remove(t.Context(), "nginx:latest", true); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("again: got %v, want not found", err)
	}
}

// A pull in another process keeps rmi from freeing blobs, not from untagging; the next
// removal frees them.
func TestRemoveBesideAPull(t *testing.T) {
	dir := t.TempDir()
	pulling := open(t, dir)
	image, next := built("one", monday, contenttest.NewLayer("one", 4000)), built("two", monday)
	pull(t, pulling, image, "one:1")
	pull(t, pulling, next, "two:1")
	s := open(t, dir)
	removal, err := s.Remove(t.Context(), "one:1", false)
	if err != nil || !removal.Deferred || removal.Freed != 0 || len(removal.Deleted) != 1 {
		t.Fatalf("got %+v and %v, want it deferred", removal, err)
	}
	if _, err := s.Find(t.Context(), "one:1"); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("find what was removed: got %v", err)
	}
	if err := pulling.Close(); err != nil {
		t.Fatal(err)
	}
	removal, err = s.Remove(t.Context(), "two:1", false)
	if want := size(append(append(image.Blobs, image.Root, next.Root), next.Blobs...)...); err != nil || removal.Freed != want {
		t.Errorf("got %+v and %v, want %d bytes freed", removal, err, want)
	}
}

func TestHistory(t *testing.T) {
	s := open(t, t.TempDir())
	layers := []contenttest.Blob{contenttest.NewLayer("first", 100), contenttest.NewLayer("second", 200)}
	pull(t, s, contenttest.NewIndex(contenttest.NewImage("windows/amd64"), built("history", monday, layers...)), "app:1")
	got, err := s.History(t.Context(), "app:1")
	if err != nil {
		t.Fatal(err)
	}
	want := []store.Step{
		{Created: monday, CreatedBy: "CMD history"},
		{Created: monday, CreatedBy: "ADD history", Layer: layers[1].Descriptor.Digest, Size: 200},
		{Created: monday, CreatedBy: "ADD history", Layer: layers[0].Descriptor.Digest, Size: 100},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	silent := store.History(content.ImageConfig{}, []content.Descriptor{layers[0].Descriptor})
	if want := []store.Step{{Layer: layers[0].Descriptor.Digest, Size: 100}}; !slices.Equal(silent, want) {
		t.Errorf("a config without history: got %+v, want %+v", silent, want)
	}
}

func TestMountHints(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	layer := contenttest.NewLayer("ubuntu", 1000)
	pull(t, s, built("ubuntu", monday, layer), "ubuntu:24.04")
	d := layer.Descriptor.Digest
	if got := s.MountHints("docker.io", d); !slices.Equal(got, []string{"library/ubuntu"}) {
		t.Errorf("after a pull: got %q", got)
	}
	if got := s.MountHints("registry.example", d); len(got) != 0 {
		t.Errorf("of another registry: got %q, want none", got)
	}
	app := built("app", monday, layer, contenttest.NewLayer("app", 10))
	pull(t, s, app, "registry.example/team/app:1")
	if err := s.Tag(t.Context(), "registry.example/team/app:1", parse(t, "other:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), "registry.example/team/app:1", false); err != nil {
		t.Fatal(err)
	}
	if err := s.Seen(t.Context(), app.Digest(), parse(t, "docker.io/me/app")); err != nil {
		t.Fatal(err)
	}
	if got := s.MountHints("docker.io", d); len(got) != 2 {
		t.Errorf("what was seen after the first question: got %q, want two repositories", got)
	}
	later := open(t, dir)
	if got := later.MountHints("registry.example", d); !slices.Equal(got, []string{"team/app"}) {
		t.Errorf("in a later process, by another name: got %q", got)
	}
	got := later.MountHints("docker.io", d)
	slices.Sort(got)
	if !slices.Equal(got, []string{"library/ubuntu", "me/app"}) {
		t.Errorf("two repositories: got %q", got)
	}
	if err := s.Seen(t.Context(), digest.FromString("absent"), parse(t, "a")); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("an image that is not there: got %v", err)
	}
}

// What one platform of an index was pulled as is that platform's own manifest.
func TestOnePlatformIsItsOwnImage(t *testing.T) {
	s := open(t, t.TempDir())
	index := contenttest.NewIndex(built("mine", monday), contenttest.NewImage("windows/amd64"))
	pull(t, s, index.Children[0], "app:1")
	image, err := s.Find(t.Context(), "app:1")
	if err != nil || image.Digest != index.Children[0].Digest() || len(image.Platforms) != 1 {
		t.Errorf("got %s with platforms %v and %v", image.Digest, image.Platforms, err)
	}
	r := s.Repository(parse(t, "app"))
	if _, err := r.PushManifest(t.Context(), index.Descriptor(), index.Root.Bytes, "1"); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("an index with a platform missing: got %v, want a refusal", err)
	}
}

// One image that cannot be read hides no other.
func TestBrokenImageIsListed(t *testing.T) {
	s := open(t, t.TempDir())
	broken, good := built("broken", monday), built("good", monday)
	pull(t, s, broken, "broken:1")
	pull(t, s, good, "good:1")
	l, err := layout.Open(directory(t, s))
	if err != nil {
		t.Fatal(err)
	}
	removeBlob(t, l, broken.Blobs[0].Descriptor.Digest)
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 2 {
		t.Fatalf("got %d images and %v, want 2", len(images), err)
	}
	for _, image := range images {
		if isBroken := image.Reference.Familiar() == "broken:1"; isBroken != (image.Err != nil) {
			t.Errorf("%s: got error %v", image.Reference.Familiar(), image.Err)
		}
	}
	if _, err := s.Remove(t.Context(), "broken:1", false); err != nil {
		t.Errorf("remove it: %v", err)
	}
}

// A bad date made an image unreadable, and so every `images` exit 3. A date before 1990 is none.
func TestBadDates(t *testing.T) {
	s := open(t, t.TempDir())
	dated := func(created string) contenttest.Image {
		config := contenttest.JSON(ocispec.MediaTypeImageConfig, map[string]any{
			"os": "linux", "architecture": "amd64", "created": created,
			"history": []map[string]string{{"created": created, "created_by": "ADD x"}},
		})
		return contenttest.NewManifest(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}, config)
	}
	good := dated(monday.Format(time.RFC3339))
	for name, image := range map[string]contenttest.Image{
		"good:1": good, "bad:1": dated("yesterday"), "epoch:1": dated("1970-01-01T00:00:00Z"),
		"index:1": contenttest.NewIndex(dated("tomorrow"), good, dated("1980-01-01T00:00:00Z")),
	} {
		pull(t, s, image, name)
	}
	want := map[string]struct {
		created time.Time
		bad     bool
	}{"good:1": {monday, false}, "bad:1": {time.Time{}, true}, "epoch:1": {}, "index:1": {monday, true}}
	images, err := s.Images(t.Context())
	if err != nil || len(images) != len(want) {
		t.Fatalf("got %d images and %v", len(images), err)
	}
	for _, image := range images {
		name := image.Reference.Familiar()
		if got := want[name]; !image.Created.Equal(got.created) || errors.Is(image.DateErr, content.ErrInvalid) != got.bad || image.Err != nil {
			t.Errorf("%s: created %v, %v, %v, want %+v", name, image.Created, image.DateErr, image.Err, got)
		}
	}
	for _, name := range []string{"bad:1", "epoch:1"} {
		if steps, err := s.History(t.Context(), name); err != nil || len(steps) != 1 || !steps[0].Created.IsZero() {
			t.Errorf("history of %s: %+v, %v", name, steps, err)
		}
	}
}

func removeBlob(t *testing.T, l *layout.Layout, d digest.Digest) {
	t.Helper()
	if err := os.Remove(filepath.Join(l.Path(), "blobs", d.Algorithm().String(), d.Encoded())); err != nil {
		t.Fatal(err)
	}
}

// Caches and artifact manifests are listed with what they hold.
func TestImagesWithoutAnImage(t *testing.T) {
	s := open(t, t.TempDir())
	cache := contenttest.NewCache(contenttest.NewLayer("cached", 500), contenttest.NewBlob("application/vnd.example.x", "unknown", 60))
	artifact := contenttest.NewArtifactManifest("application/vnd.example.data", nil, contenttest.NewBlob("text/plain", "data", 70))
	pull(t, s, cache, "app:cache")
	pull(t, s, artifact, "app:data")
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 2 {
		t.Fatalf("got %v and %v", images, err)
	}
	want := map[string]int64{"cache": size(append(cache.Blobs, cache.Root)...), "data": size(append(artifact.Blobs, artifact.Root)...)}
	for _, image := range images {
		if image.Err != nil || image.Size != want[image.Reference.Tag] {
			t.Errorf("%s: %d bytes and %v, want %d bytes", image.Reference.Tag, image.Size, image.Err, want[image.Reference.Tag])
		}
	}
}

// Referrers, and the lists of them, are no images, and go with the image that they are attached to.
func TestReferrersAreNoImages(t *testing.T) {
	s := open(t, t.TempDir())
	image := built("signed", monday, contenttest.NewLayer("signed", 500))
	pull(t, s, image, "nginx:1")
	subject := image.Descriptor()
	sbom := contenttest.NewArtifact("application/spdx+json", &subject, contenttest.NewLayer("sbom", 50))
	sbom.Push(t, s.Repository(parse(t, "nginx")), "")
	images, err := s.Images(t.Context())
	if err != nil || len(images) != 1 || images[0].Digest != image.Digest() {
		t.Errorf("got %d images and %v, want nginx:1", len(images), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), "nginx:1", false); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(directory(t, s), "blobs", "*", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left of it: %q, %v", left, err)
	}
}
