package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
)

// sampled mirrors n tags with `verify: sampled`.
func sampled(t *testing.T, tags int) (n *nights, entry string) {
	t.Helper()
	n = newNights(t)
	for i := range tags {
		n.a.Push("app", fmt.Sprintf("v%d", i), registrytest.Image(registrytest.ImageSpec{Seed: uint64(1 + i)}))
	}
	entry = fmt.Sprintf("  - {from: '%s/app', to: '%s/app', referrers: false, verify: sampled}\n", n.a.Host(), n.b.Host())
	n.sync(t, entry, "-q")
	return n, entry
}

// asked are the tags that the last run has asked for at each side.
func (n *nights) asked() (source, destination registrytest.Requests) {
	return n.a.Log().Find(http.MethodHead, "/app/manifests/"), n.b.Log().Find(http.MethodHead, "/app/manifests/")
}

// wantAsked runs a command and requires that both sides were asked for all tags.
func (n *nights) wantAsked(t *testing.T, why string, run func()) {
	t.Helper()
	run()
	source, destination := n.asked()
	if len(source) != len(destination) {
		t.Errorf("%s: %d questions to the source, %d to the destination, want as many", why, len(source), len(destination))
	}
}

// 100 unchanged tags: each run asks the source for all of them and the destination for some, so that 20 runs ask it once for each.
func TestRequestsOfSampledTags(t *testing.T) {
	n, entry := sampled(t, 100)
	times, most := map[string]int{}, 0
	for range 20 {
		n.sync(t, entry, "-q")
		source, destination := n.asked()
		if len(source) != 100 {
			t.Fatalf("%d questions to the source, want 100", len(source))
		}
		most = max(most, len(destination))
		for _, r := range destination {
			times[r.Path]++
		}
	}
	t.Logf("100 questions to the source, at most %d to the destination", most)
	if most > 20 { // 5 on average
		t.Errorf("a run asked the destination %d times", most)
	}
	for i := range 100 {
		if got := times[fmt.Sprintf("/v2/app/manifests/v%d", i)]; got != 1 {
			t.Errorf("v%d was asked for %d times in 20 runs, want once", i, got)
		}
	}
}

// A run whose sample has a removed tag checks the whole repository.
func TestSampledTagsThatWereRemoved(t *testing.T) {
	n, entry := sampled(t, 40)
	other := registrytest.Image(registrytest.ImageSpec{Seed: 1000})
	for i := range 20 {
		n.b.DeleteManifest("app", fmt.Sprintf("v%d", i))
	}
	n.b.Push("app", "v20", other)
	var out strings.Builder
	p := command(t, "--state", n.state, "diff", "-c", n.home+"/mirror.yaml")
	p.Stdout = &out
	p.start(t)
	p.wantCode(t, 4)
	if want := "diff: 20 to add, 1 to move, 19 unchanged;"; !strings.Contains(out.String(), want) {
		t.Errorf("diff lacks %q:\n%s", want, out.String())
	}
	for range 20 {
		out.Reset()
		p := command(t, "--state", n.state, "sync", "-c", n.home+"/mirror.yaml")
		p.Stdout = &out
		p.start(t)
		p.wantDone(t)
		if !strings.Contains(out.String(), "warning") {
			continue
		}
		if got := strings.Count(out.String(), " was changed or removed at the destination since an earlier run"); got != 1 {
			t.Errorf("%d warnings:\n%s", got, out.String())
		}
		if want := "40 tags, 40 images: 21 copied, 19 unchanged in "; !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
		for i := range 40 {
			tag := fmt.Sprintf("v%d", i)
			if n.a.ManifestDigest("app", tag) != n.b.ManifestDigest("app", tag) {
				t.Errorf("%s is not at the destination", tag)
			}
		}
		n.sync(t, entry, "-q")
		if _, destination := n.asked(); len(destination) == 40 {
			t.Error("the next run trusts nothing, although all tags were seen")
		}
		return
	}
	t.Error("20 runs have not found it")
}

// All tags are checked with --recheck, with --dry-run, for another selection, and by runs whose state cannot be written.
func TestSampledTagsAreAskedForWithoutTrust(t *testing.T) {
	n, entry := sampled(t, 30)
	n.wantAsked(t, "--recheck", func() { n.sync(t, entry, "--recheck", "-q") })
	n.wantAsked(t, "--dry-run", func() { n.sync(t, entry, "--dry-run") })
	n.wantAsked(t, "other platforms", func() {
		n.sync(t, strings.Replace(entry, "verify", "attestations: false, verify", 1), "-q")
	})
	n.wantAsked(t, "always", func() { n.sync(t, strings.Replace(entry, "sampled", "always", 1), "-q") })
	n.state = "/proc/regsync"
	n.wantAsked(t, "no state", func() { n.sync(t, entry, "-q") })
}

// The next run checks what other commands have deleted and written.
func TestSampledTagsThatCommandsChange(t *testing.T) {
	n, entry := sampled(t, 30)
	n.run(t, "delete", n.b.Host()+"/app:v1")
	n.run(t, "copy", n.a.Host()+"/app:v3", n.b.Host()+"/app:v2")
	n.sync(t, entry, "-q")
	for _, tag := range []string{"v1", "v2"} {
		if n.a.ManifestDigest("app", tag) != n.b.ManifestDigest("app", tag) {
			t.Errorf("%s is not as at the source", tag)
		}
	}
	n.run(t, "delete", n.b.Host()+"/app@"+n.b.ManifestDigest("app", "v4").String())
	n.wantAsked(t, "after a digest was deleted", func() { n.sync(t, entry, "-q") })
	if n.b.ManifestDigest("app", "v4") == "" {
		t.Error("v4 is not at the destination")
	}
}

// A signature that is attached later to an image whose tag is trusted arrives, in each form.
func TestSampledTagsGetLaterSignatures(t *testing.T) {
	for name, options := range map[string][]registrytest.Option{"tags": nil, "API": {registrytest.With(registrytest.ReferrersAPI)}} {
		t.Run(name, func(t *testing.T) {
			n := newNights(t, options...)
			var images []*registrytest.Fixture
			for i := range 10 {
				images = append(images, registrytest.Image(registrytest.ImageSpec{Seed: uint64(1 + i)}))
				n.a.Push("app", fmt.Sprintf("v%d", i), images[i])
			}
			entry := fmt.Sprintf("  - {from: '%s/app', to: '%s/app', verify: sampled}\n", n.a.Host(), n.b.Host())
			n.sync(t, entry, "-q")
			n.sync(t, entry, "-q")
			for i, image := range images {
				referrer := registrytest.Image(registrytest.ImageSpec{Seed: uint64(100 + i), ConfigMediaType: "application/vnd.example.sbom", Subject: image})
				n.a.Push("app", "", referrer)
				if options == nil {
					n.a.Push("app", strings.Replace(image.Digest().String(), ":", "-", 1), registrytest.Index(registrytest.IndexSpec{}, referrer))
				}
				n.a.Push("app", sigTag(image), registrytest.Image(registrytest.ImageSpec{Seed: uint64(200 + i)}))
				images = append(images, referrer)
			}
			n.sync(t, entry, "-q")
			for i, image := range images {
				if n.b.ManifestDigest("app", image.Digest().String()) == "" {
					t.Errorf("image or referrer %d is not at the destination", i)
				}
				if i < 10 && n.b.ManifestDigest("app", sigTag(image)) == "" {
					t.Errorf("the signature of image %d is not at the destination", i)
				}
			}
			// An image is removed with its signature: the signature is not pushed there alone.
			n.b.DeleteManifest("app", "v3")
			n.b.DeleteManifest("app", sigTag(images[3]))
			n.sync(t, entry, "-q")
			if n.b.ManifestDigest("app", "v3") == "" || n.b.ManifestDigest("app", sigTag(images[3])) == "" {
				t.Error("an image that was removed with its signature is not at the destination")
			}
		})
	}
}

// A tag that moves at the source moves at the destination, whatever is trusted.
func TestSampledTagsThatMove(t *testing.T) {
	n, entry := sampled(t, 10)
	for i := range 10 {
		n.a.Push("app", fmt.Sprintf("v%d", i), registrytest.Image(registrytest.ImageSpec{Seed: uint64(100 + i)}))
	}
	n.sync(t, entry, "-q")
	for i := range 10 {
		tag := fmt.Sprintf("v%d", i)
		if n.a.ManifestDigest("app", tag) != n.b.ManifestDigest("app", tag) {
			t.Errorf("%s has not moved", tag)
		}
	}
}
