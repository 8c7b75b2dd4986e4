package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
)

// nights is a mirror between two registries that is run again and again, with one state.
type nights struct {
	a, b  *registrytest.Server
	home  string
	state string
}

func newNights(t *testing.T, source ...registrytest.Option) *nights {
	t.Helper()
	return &nights{a: registrytest.New(t, source...), b: registrytest.New(t), home: t.TempDir(), state: t.TempDir()}
}

// run runs the command and returns how many requests each side got.
func (n *nights) run(t testing.TB, args ...string) (source, destination int) {
	t.Helper()
	n.a.ResetLog()
	n.b.ResetLog()
	p := command(t, append([]string{"--state", n.state}, args...)...)
	p.Env = append(p.Env, "HOME="+n.home)
	p.start(t)
	p.wantDone(t)
	return len(n.a.Log()), len(n.b.Log())
}

// sync mirrors entries, given as lines of YAML.
func (n *nights) sync(t testing.TB, entries string, args ...string) (source, destination int) {
	t.Helper()
	file := filepath.Join(n.home, "mirror.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nsync:\n"+entries), 0o600); err != nil {
		t.Fatal(err)
	}
	return n.run(t, append([]string{"sync", "-c", file}, args...)...)
}

// atMost compares a number of requests with what it may be.
func atMost(t *testing.T, what string, source, destination, want int) {
	t.Helper()
	t.Logf("%s: %d requests to the source, %d to the destination", what, source, destination)
	if source+destination > want {
		t.Errorf("%s: %d requests, want at most %d", what, source+destination, want)
	}
}

func sigTag(f *registrytest.Fixture) string {
	return strings.Replace(f.Digest().String(), ":", "-", 1) + ".sig"
}

// One unchanged tag that is named, of one platform, with and without the referrers API.
func TestRequestsOfOneUnchangedTag(t *testing.T) {
	for name, options := range map[string][]registrytest.Option{"tags": nil, "API": {registrytest.With(registrytest.ReferrersAPI)}} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t, options...)
			n.a.Push("app", "1", registrytest.Image(registrytest.ImageSpec{}))
			entry := fmt.Sprintf("  - {from: '%s/app:1', to: '%s/app'}\n", n.a.Host(), n.b.Host())
			n.sync(t, entry)
			source, destination := n.sync(t, entry)
			atMost(t, "one unchanged tag", source, destination, 7)
			if got := n.a.Count("", "/tags/list"); got != 0 {
				t.Errorf("the source was listed %d times", got)
			}
		})
	}
}

// One tag of a repository that has 5001: no page of the listing is read, and its signature arrives.
func TestOneTagOfThousands(t *testing.T) {
	n := newNights(t, registrytest.With(registrytest.TagPages.At(100)))
	image := registrytest.Image(registrytest.ImageSpec{})
	n.a.Push("app", "1", image)
	n.a.Push("app", sigTag(image), registrytest.Image(registrytest.ImageSpec{Seed: 2}))
	for i := range 5000 {
		n.a.Push("app", fmt.Sprint("v", i), image)
	}
	n.run(t, "copy", "--referrers", n.a.Host()+"/app:1", n.b.Host()+"/app:1")
	if got := n.a.Count("", "/tags/list"); got != 0 {
		t.Errorf("%d pages of the listing were read", got)
	}
	if n.b.ManifestDigest("app", sigTag(image)) == "" {
		t.Error("the signature did not arrive")
	}
}

// 500 unchanged tags in 100 repositories, five digests each.
func TestRequestsOfManyUnchangedTags(t *testing.T) {
	for name, test := range map[string]struct {
		options []registrytest.Option
		want    int
	}{
		"tags": {nil, 1250},
		"API":  {[]registrytest.Option{registrytest.With(registrytest.ReferrersAPI)}, 3700},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t, test.options...)
			entries := ""
			for r := range 100 {
				repository := fmt.Sprint("team/app", r)
				for i := range 5 {
					n.a.Push(repository, fmt.Sprint(i), registrytest.Image(registrytest.ImageSpec{Seed: uint64(1 + i), Layers: []registrytest.Layer{{Size: 100, Seed: 7}}}))
				}
				entries += fmt.Sprintf("  - {from: '%s/%s', to: '%s/%s', tags: {include: ['0', '1', '2', '3', '4']}}\n", n.a.Host(), repository, n.b.Host(), repository)
			}
			n.sync(t, entries, "-q")
			source, destination := n.sync(t, entries, "-q")
			atMost(t, "500 unchanged tags", source, destination, test.want)
		})
	}
}

// Referrers that were attached after the image was copied, to the index and to a platform of it,
// arrive, and no byte of the image moves.
func TestReferrersAttachedLater(t *testing.T) {
	for name, test := range map[string]struct {
		api       bool
		tag, rest string
	}{
		"tags": {rest: ", tags: {include: ['*']}"}, "API": {api: true, rest: ", tags: {include: ['*']}"},
		// Without a listing and without the API, those of a platform never came.
		"a named tag": {tag: ":1"}, "two platforms of a named tag": {tag: ":1", rest: ", platforms: [linux/amd64, linux/arm64]"},
	} {
		t.Run(name, func(t *testing.T) {
			var options []registrytest.Option
			if test.api {
				options = append(options, registrytest.With(registrytest.ReferrersAPI))
			}
			n := newNights(t, options...)
			child := registrytest.Image(registrytest.ImageSpec{Seed: 1})
			other, s390x := registrytest.Image(registrytest.ImageSpec{Seed: 2, Platform: "linux/arm64"}), registrytest.Image(registrytest.ImageSpec{Seed: 3, Platform: "linux/s390x"})
			index := registrytest.Index(registrytest.IndexSpec{}, child, other, s390x)
			n.a.Push("app", "1", index)
			subjects := []*registrytest.Fixture{index, child}
			if strings.Contains(test.rest, "platforms") { // the destination does not get the source's index
				subjects = []*registrytest.Fixture{child}
			}
			entry := fmt.Sprintf("  - {from: '%s/app%s', to: '%s/app'%s}\n", n.a.Host(), test.tag, n.b.Host(), test.rest)
			n.sync(t, entry)
			var attached []*registrytest.Fixture
			for i, subject := range subjects {
				referrer := registrytest.Image(registrytest.ImageSpec{
					Seed: uint64(10 + i), ConfigMediaType: "application/vnd.example.sbom", Subject: subject, Layers: []registrytest.Layer{{Size: 77}},
				})
				n.a.Push("app", "", referrer)
				if !test.api { // the registry keeps no list itself
					n.a.Push("app", strings.Replace(subject.Digest().String(), ":", "-", 1), registrytest.Index(registrytest.IndexSpec{}, referrer))
				}
				signature := registrytest.Image(registrytest.ImageSpec{Seed: uint64(20 + i), Layers: []registrytest.Layer{{Size: 88}}})
				n.a.Push("app", sigTag(subject), signature)
				attached = append(attached, referrer, signature)
			}
			n.sync(t, entry)
			for _, f := range attached {
				if err := n.b.Complete("app", f.Digest().String()); err != nil {
					t.Error(err)
				}
			}
			for blob := range index.AllBlobs() {
				if got := n.a.Count("GET", "/blobs/"+blob.String()); got != 0 {
					t.Errorf("a blob of the image was read")
				}
			}
		})
	}
}
