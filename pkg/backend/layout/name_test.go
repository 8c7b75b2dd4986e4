package layout_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/layout"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
)

const (
	refName        = ocispec.AnnotationRefName
	containerdName = "io.containerd.image.name"
)

// withEntries is a layout whose index.json lists two images, a and b, as annotated.
func withEntries(t *testing.T, annotations ...map[string]string) (*layout.Layout, []contenttest.Image) {
	t.Helper()
	l := open(t, filepath.Join(t.TempDir(), "layout"))
	var images []contenttest.Image
	for i := range annotations {
		image := contenttest.NewImage("linux/amd64", contenttest.NewLayer("entry", 100+i))
		image.Push(t, l, "")
		images = append(images, image)
	}
	err := l.Update(t.Context(), func(entries []content.Descriptor) ([]content.Descriptor, error) {
		for i := range entries {
			entries[i].Annotations = annotations[i]
		}
		return entries, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l, images
}

func TestResolveNames(t *testing.T) {
	nginx := map[string]string{refName: "1.25", containerdName: "docker.io/library/nginx:1.25"}
	redis := map[string]string{refName: "7", containerdName: "docker.io/library/redis:7"}
	l, images := withEntries(t, nginx, redis)
	full, fullImages := withEntries(t, map[string]string{refName: "docker.io/library/nginx:1.25"}, map[string]string{refName: "1.26"})
	for _, test := range []struct {
		layout *layout.Layout
		name   string
		want   digest.Digest
	}{
		{l, "1.25", images[0].Digest()},
		{l, "docker.io/library/nginx:1.25", images[0].Digest()},
		{l, "docker.io/library/redis:7", images[1].Digest()},
		{full, "docker.io/library/nginx:1.25", fullImages[0].Digest()},
		{full, "1.25", fullImages[0].Digest()},
		{full, "1.26", fullImages[1].Digest()},
	} {
		if got, err := test.layout.Resolve(t.Context(), test.name); err != nil || got.Digest != test.want {
			t.Errorf("resolve %q: got %s and %v, want %s", test.name, got.Digest, err, test.want)
		}
	}
	if got := tags(t, l); !slices.Equal(got, []string{"1.25", "7"}) {
		t.Errorf("tags: got %q", got)
	}
}

// docker save writes "latest" for each image, with the full name beside it.
func TestSharedTagsNeedTheFullName(t *testing.T) {
	l, images := withEntries(t,
		map[string]string{refName: "latest", containerdName: "docker.io/library/nginx:latest"},
		map[string]string{refName: "latest", containerdName: "docker.io/library/redis:latest"})
	_, err := l.Resolve(t.Context(), "latest")
	checkChoices(t, l, err, images, "oci:"+l.Path()+":docker.io/library/nginx:latest", "oci:"+l.Path()+":docker.io/library/redis:latest")
	if got := tags(t, l); !slices.Equal(got, []string{"latest"}) {
		t.Errorf("tags: got %q", got)
	}
}

// checkChoices checks that an error offers references to images, which are found when they are typed.
func checkChoices(t *testing.T, l *layout.Layout, err error, images []contenttest.Image, want ...string) {
	t.Helper()
	ambiguous, is := errors.AsType[*layout.AmbiguousError](err)
	if !is || len(ambiguous.Choices) != len(want) {
		t.Fatalf("got %v, want a choice of %q", err, want)
	}
	opener := backend.New(backend.Options{})
	for i, choice := range ambiguous.Choices {
		typed, err := reference.Parse(choice.String())
		if choice.String() != want[i] || typed != choice || !strings.Contains(ambiguous.Error(), want[i]) {
			t.Errorf("choice %d is %s, read as %s (%v), want %s", i, choice, typed, err, want[i])
		}
		source, err := opener.OpenSource(t.Context(), typed)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := source.Resolve(t.Context(), typed.Identifier()); err != nil || got.Digest != images[i].Digest() {
			t.Errorf("%s is %s, %v, want %s", typed, got.Digest, err, images[i].Digest())
		}
	}
	if err := opener.Close(); err != nil {
		t.Error(err)
	}
}

// The choice that was offered could not be typed: a full name was read as a part of the directory. Where a name is
// missing, not one that is typed, or another image's too, the digest is offered.
func TestChoicesCanBeTyped(t *testing.T) {
	l, images := withEntries(t,
		map[string]string{refName: "v1"},
		map[string]string{refName: "docker.io/library/app:v1"},
		map[string]string{refName: "registry.example:5000/team/app:v2"},
		nil,
		map[string]string{refName: "app:v3"},
		map[string]string{refName: "same"},
		map[string]string{refName: "same"},
		map[string]string{refName: "latest", containerdName: "docker.io/library/app:latest"})
	at := func(i int) string { return "oci:" + l.Path() + "@" + images[i].Digest().String() }
	_, err := l.Resolve(t.Context(), "")
	checkChoices(t, l, err, images, "oci:"+l.Path()+":v1", "oci:"+l.Path()+":docker.io/library/app:v1",
		"oci:"+l.Path()+":registry.example:5000/team/app:v2", at(3), at(4), at(5), at(6), "oci:"+l.Path()+":latest")
	_, err = l.Resolve(t.Context(), "same")
	checkChoices(t, l, err, images[5:7], at(5), at(6))
}

// A tag that is one image's only name, and a part of another's full name, is the first one's; the other is not
// left out in silence.
func TestTagBesideAFullName(t *testing.T) {
	l, images := withEntries(t, map[string]string{refName: "docker.io/library/app:v1"}, map[string]string{refName: "v1"})
	got, invalid := tagsAndLeftOut(t, l)
	if !slices.Equal(got, []string{"v1"}) || invalid == nil || invalid.Count != 1 {
		t.Errorf("tags %q, left out %+v", got, invalid)
	}
	if got, err := l.Resolve(t.Context(), "v1"); err != nil || got.Digest != images[1].Digest() {
		t.Errorf("v1 is %s, %v, want %s", got.Digest, err, images[1].Digest())
	}
}

// A repository of a layout has the tags of its full names, and no others.
func TestRepositoryOfALayout(t *testing.T) {
	l, images := withEntries(t,
		map[string]string{refName: "docker.io/library/x:1"}, map[string]string{refName: "1", containerdName: "docker.io/library/y:1"})
	for i, name := range []string{"docker.io/library/x", "docker.io/library/y"} {
		r := l.Repository("oci", name)
		if got := tags(t, r); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%s: tags %q", name, got)
		}
		if got, err := r.Resolve(t.Context(), "1"); err != nil || got.Digest != images[i].Digest() {
			t.Errorf("%s:1 is %s, %v, want %s", name, got.Digest, err, images[i].Digest())
		}
	}
	if got, err := l.Resolve(t.Context(), "1"); err != nil || got.Digest != images[1].Digest() {
		t.Errorf("1 is %s, %v, want %s, which has it as its tag", got.Digest, err, images[1].Digest())
	}
}

func TestResolveTheOnlyImage(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "layout"))
	if _, err := l.Resolve(t.Context(), ""); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("an empty layout: got %v, want not found", err)
	}
	image := contenttest.NewIndex(contenttest.NewImage("linux/amd64"), contenttest.NewImage("linux/arm64"))
	image.Push(t, l, "v1")
	image.Push(t, l, "v2")
	subject := image.Descriptor()
	contenttest.NewArtifact("application/vnd.example.signature", &subject).Push(t, l, "")
	if got, err := l.Resolve(t.Context(), ""); err != nil || got.Digest != image.Digest() {
		t.Errorf("one image with two tags and a referrer: got %s and %v, want %s", got.Digest, err, image.Digest())
	}
	contenttest.NewImage("linux/s390x").Push(t, l, "other")
	if _, err := l.Resolve(t.Context(), ""); true {
		other, _ := l.Resolve(t.Context(), "other")
		checkChoices(t, l, err, []contenttest.Image{image, {Root: contenttest.Blob{Descriptor: other}}}, "oci:"+l.Path()+":v1", "oci:"+l.Path()+":other")
	}
}

func TestIndexListsWhatIsNotBelowAnother(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "layout"))
	child := contenttest.NewImage("linux/amd64", contenttest.NewLayer("child", 10))
	tagged := contenttest.NewImage("linux/arm64", contenttest.NewLayer("tagged", 10))
	child.Push(t, l, "")
	tagged.Push(t, l, "arm")
	requireEntries(t, l, child, tagged)
	index := contenttest.NewIndex(child, tagged)
	index.Push(t, l, "all")
	requireEntries(t, l, tagged, index)
	child.Push(t, l, "") // is below the index
	requireEntries(t, l, tagged, index)
	if got, err := l.Resolve(t.Context(), child.Digest().String()); err != nil || got.MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("resolve a child: got %+v and %v", got, err)
	}
	blob := child.Blobs[1].Descriptor.Digest.String()
	if _, err := l.Resolve(t.Context(), blob); !errors.Is(err, content.ErrNotFound) {
		t.Errorf("resolve a layer: got %v, want not found", err)
	}
}

// What others have written beside the images must survive our writes.
func TestForeignAnnotationsSurvive(t *testing.T) {
	l, images := withEntries(t, map[string]string{refName: "v1", "org.example.owner": "somebody"})
	path := filepath.Join(l.Path(), "index.json")
	var index ocispec.Index
	readJSON(t, path, &index)
	index.Annotations = map[string]string{"org.example.layout": "yes"}
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(raw))
	images[0].Push(t, l, "v1")
	images[0].Push(t, l, "v2")
	var after ocispec.Index
	readJSON(t, path, &after)
	if after.Annotations["org.example.layout"] != "yes" || after.Manifests[0].Annotations["org.example.owner"] != "somebody" || len(after.Manifests) != 2 {
		t.Errorf("got %+v", after)
	}
}

func TestTagsThatCannotBeFoundAgain(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "layout"))
	image := contenttest.NewImage("linux/amd64")
	image.Push(t, l, "good")
	for _, tag := range []string{image.Digest().String(), "a b", "a\nb", "\x00"} {
		if _, err := l.PushManifest(t.Context(), image.Descriptor(), image.Root.Bytes, tag); !errors.Is(err, content.ErrInvalid) {
			t.Errorf("tag %q: got %v, want invalid", tag, err)
		}
	}
}

// Other programs write index.json. Tags leaves out names and digests that are not valid; they
// stay in the file.
func TestInvalidNamesInIndex(t *testing.T) {
	names := []string{"1", "../../../team/victim/manifests/stable", "a b", "-x", "docker.io/library/app:2", "team/../x:3", "\x1b[2J:4", strings.Repeat("x", 200), ""}
	annotations := make([]map[string]string, len(names)+2)
	for i, name := range names {
		annotations[i] = map[string]string{refName: name}
	}
	annotations[len(names)] = map[string]string{refName: "bad-digest"}
	annotations[len(names)+1] = map[string]string{refName: "bad-type"}
	l, images := withEntries(t, annotations...)
	editIndex(t, l, func(index *ocispec.Index) {
		index.Manifests[len(names)].Digest = "sha256:../../x"
		index.Manifests[len(names)+1].MediaType = "a\nb"
	})
	got, invalid := tagsAndLeftOut(t, l)
	if want := []string{"1", "2"}; !slices.Equal(got, want) {
		t.Errorf("tags: got %q, want %q", got, want)
	}
	if want := []string{"bad-digest@sha256:../../x", names[1], "a b"}; invalid == nil || invalid.Count != 8 || !slices.Equal(invalid.First, want) {
		t.Errorf("left out %+v, want 8, first %q", invalid, want)
	}
	entries, err := l.Entries(t.Context())
	if invalid, failure := content.SplitInvalidNames(err); failure != nil || invalid == nil || invalid.Count != 1 || len(entries) != len(names)+1 {
		t.Errorf("got %d entries and %v", len(entries), err)
	}

	// Nothing tells which blobs the invalid entry needs, so GC frees none.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.GC(t.Context()); !errors.Is(err, content.ErrInvalid) || freed != 0 {
		t.Errorf("gc: got %d and %v, want invalid", freed, err)
	}

	images[0].Push(t, l, "new")
	if index := readIndex(t, l); len(index.Manifests) != len(names)+3 || !slices.ContainsFunc(index.Manifests, func(d content.Descriptor) bool { return d.Digest == "sha256:../../x" }) {
		t.Errorf("after a push: got %+v", index.Manifests)
	}
	images[0].Push(t, l, "bad-digest")
	if got, err := l.Resolve(t.Context(), "bad-digest"); err != nil || got.Digest != images[0].Digest() {
		t.Errorf("after its name was given to an image: got %+v and %v", got, err)
	}
	if index := readIndex(t, l); slices.ContainsFunc(index.Manifests, func(d content.Descriptor) bool { return d.Digest == "sha256:../../x" }) {
		t.Errorf("after its name was given to an image: got %+v", index.Manifests)
	}
}

func editIndex(t *testing.T, l *layout.Layout, edit func(*ocispec.Index)) {
	t.Helper()
	index := readIndex(t, l)
	edit(&index)
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(l.Path(), "index.json"), string(raw))
}

func readIndex(t *testing.T, l *layout.Layout) ocispec.Index {
	t.Helper()
	var index ocispec.Index
	readJSON(t, filepath.Join(l.Path(), "index.json"), &index)
	return index
}

func tagsAndLeftOut(t *testing.T, l content.TagLister) (tags []string, invalid *content.InvalidNamesError) {
	t.Helper()
	for tag, err := range l.Tags(t.Context()) {
		var failure error
		if invalid, failure = content.SplitInvalidNames(err); failure != nil {
			t.Fatal(failure)
		}
		if invalid == nil {
			tags = append(tags, tag)
		}
	}
	return tags, invalid
}

func TestIndexWithBadDigestIsRefused(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "abc")
	for _, bad := range []string{"sha256:../../../secret", "../../secret", "", "sha256:00"} {
		l, _ := withEntries(t, map[string]string{refName: "v1"})
		path := filepath.Join(l.Path(), "index.json")
		editIndex(t, l, func(index *ocispec.Index) { index.Manifests[0].Digest = digest.Digest(bad) })
		if _, err := l.Resolve(t.Context(), "v1"); !errors.Is(err, content.ErrInvalid) || !strings.Contains(err.Error(), path) {
			t.Errorf("digest %q: got %v, want invalid, naming the file", bad, err)
		}
	}
}

func requireEntries(t *testing.T, l *layout.Layout, want ...contenttest.Image) {
	t.Helper()
	entries, err := l.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got, wanted []digest.Digest
	for _, entry := range entries {
		got = append(got, entry.Digest)
	}
	for _, image := range want {
		wanted = append(wanted, image.Digest())
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("listed: got %v, want %v", got, wanted)
	}
}

func tags(t *testing.T, l content.TagLister) []string {
	t.Helper()
	var tags []string
	for tag, err := range l.Tags(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, tag)
	}
	return tags
}
