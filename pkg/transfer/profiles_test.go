package transfer_test

import (
	"net/http"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer"
)

// The image that is copied to and from the profiles, in an index. Its two large layers exceed the request limits of
// the profiles.
var (
	bigSize   = int64(3 << 19)
	bigLayers = []registrytest.Layer{{Size: bigSize, Seed: 21}, {Size: bigSize, Seed: 22}}
	bigImage  = registrytest.Image(registrytest.ImageSpec{Seed: 5, Layers: bigLayers})
	bigIndex  = registrytest.Index(registrytest.IndexSpec{}, bigImage,
		registrytest.Image(registrytest.ImageSpec{Seed: 6, Layers: bigLayers[:1], Platform: "linux/arm64"}))
	bigSignature = registrytest.Image(registrytest.ImageSpec{
		ConfigMediaType: "application/vnd.oci.empty.v1+json", ArtifactType: "application/x-signature",
		Subject: bigIndex, Layers: []registrytest.Layer{{Size: 60, Seed: 7}},
	})
)

// scaled returns the sizes of a profile, reduced to the smallest part of an upload.
func scaled(name string) registrytest.Option {
	return map[string]registrytest.Option{
		"ghcr":  registrytest.With(registrytest.Range416.At(1 << 20)),
		"azure": registrytest.With(registrytest.Put413.At(1 << 20)),
	}[name]
}

// cutOnce cuts the first body of each large layer after a fifth of it. It cuts the second layer later than the
// first, so that two lost uploads do not look like one restart.
func cutOnce(s *registrytest.Server, method, path string) (cuts func() int) {
	var mu sync.Mutex
	var cut []string
	match, layer := registrytest.Match(method, path), regexp.MustCompile("sha256(:|%3A)[0-9a-f]{64}")
	s.Fail(func(r *http.Request) *registrytest.Fault {
		name := layer.FindString(r.URL.RequestURI())
		if name == "" {
			name = r.URL.Path // a part of an upload
		}
		mu.Lock()
		defer mu.Unlock()
		if !match(r) || method != http.MethodGet && r.ContentLength < bigSize/2 || len(cut) == 2 || slices.Contains(cut, name) {
			return nil
		}
		if method == http.MethodGet && name != "sha256:"+bigImage.Layers[0].Digest.Encoded() && name != "sha256:"+bigImage.Layers[1].Digest.Encoded() {
			return nil
		}
		cut = append(cut, name)
		f := registrytest.Reset.Fault(bigSize / 5)
		f.Delay = time.Duration(len(cut)-1) * 15 * time.Second
		return &f
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(cut)
	}
}

// TestProfiles copies an index with a signature to two repositories of each known registry and from it, and cuts
// every large body once. The index arrives, and the run reports lost uploads and the number of bytes that it sent
// twice.
func TestProfiles(t *testing.T) {
	for _, known := range registrytest.Profiles() {
		inBubble(t, "to "+known.Name, func(t *testing.T) { copyToProfile(t, known.Name) })
		inBubble(t, "from "+known.Name, func(t *testing.T) { copyFromProfile(t, known.Name) })
	}
}

// inFlight bounds the bytes that the client has sent and the registry has not read when a connection breaks.
const inFlight = 96 << 10

// lossy are the profiles that lose cut uploads.
var lossy = []string{"registry2", "harbor", "zot", "azure"}

func copyToProfile(t *testing.T, name string) {
	b := newBench(t, nil)
	b.from = b.place(atRegistry, "source", registrytest.With(registrytest.ReferrersAPI))
	options := []registrytest.Option{registrytest.Profile(name)}
	if smaller := scaled(name); smaller != nil {
		options = append(options, smaller)
	}
	b.to = b.place(atRegistry, "destination", options...)
	b.fill(b.from, map[string]*registrytest.Fixture{"1": bigIndex, "": bigSignature})
	second := *b.to
	second.base.Repository = "team/second"
	b.also = &second
	method, path := http.MethodPut, "/uploads/"
	if name == "azure" {
		method = http.MethodPatch
	}
	cuts := cutOnce(b.to.server, method, path)
	o := b.copy("1", transfer.Job{Referrers: true}, transfer.Options{})
	if o.err != nil || cuts() != 2 {
		t.Fatalf("%d cuts, failed: %v", cuts(), o.err)
	}
	b.arrived(b.to, "1", bigIndex)
	b.arrived(b.also, "1", bigIndex)
	onlyImages := name == "acr-personal"
	if onlyImages != (o.refused == 1) {
		t.Errorf("%d referrers were refused", o.refused)
	}
	if !onlyImages {
		b.complete(b.to, bigSignature)
	}
	loses := slices.Contains(lossy, name)
	if told := slices.Equal(o.lost, []string{"destination.test"}); told != loses {
		t.Errorf("the run reports lost uploads at %q, want a report: %v", o.lost, loses)
	}
	once, either := bigIndex.BlobBytes(), int64(0)
	switch name {
	case "gar": // no token covers both repositories of a mount
		once *= 2
	case "ecr": // the second repository mounts a blob only after a manifest in the first one names it
		either = once
	}
	again := b.to.server.BlobBytesIn() - once
	// Of a refused body, net/http reads 256 KiB that the log does not count.
	unseen := int64(0)
	for _, r := range b.to.server.Log() {
		if r.Status == http.StatusRequestEntityTooLarge || r.Status == http.StatusRequestedRangeNotSatisfiable {
			unseen += 256<<10 + inFlight
		}
	}
	if o.resent > again+unseen+inFlight || again > o.resent+inFlight+either {
		t.Errorf("%d bytes were sent twice, and the run reports %d", again, o.resent)
	}
	if kept := !loses && !slices.Contains([]string{"quay", "ghcr"}, name); kept && again > slack+either {
		t.Errorf("%d bytes were sent twice to a registry that keeps uploads", again)
	}
	left := 0
	if name == "registry2" || name == "harbor" {
		left = 2 // the registry does not find the sessions any more
	}
	b.nothingLeft(left)
	b.moveTag(name)
}

// moveTag moves the tag to the image of the source tag 2.
func (b *bench) moveTag(name string) {
	b.t.Helper()
	b.from.server.Push(b.from.base.Repository, "1", bigImage)
	o := b.copy("1", transfer.Job{}, transfer.Options{})
	want := bigImage
	if name == "acr-enterprise" {
		want = bigIndex
		if !answers(http.StatusBadRequest)(o.err) {
			b.t.Errorf("an immutable tag: %v", o.err)
		}
	} else if o.err != nil {
		b.t.Error(o.err)
	}
	b.arrived(b.to, "1", want)
}

func copyFromProfile(t *testing.T, name string) {
	b := newBench(t, nil)
	b.from = b.place(atRegistry, "source", registrytest.Profile(name))
	b.to = b.place(atRegistry, "destination", registrytest.With(registrytest.ReferrersAPI))
	b.fill(b.from, map[string]*registrytest.Fixture{"1": bigIndex})
	signed := name != "acr-personal" // this registry has no referrers
	if signed {                      // the tag with the list is for registries without the referrers API
		list := registrytest.Index(registrytest.IndexSpec{}, bigSignature)
		b.fill(b.from, map[string]*registrytest.Fixture{content.FallbackTag(bigIndex.Digest()): list})
	}
	path := "/blobs/sha256:"
	if name == "acr-personal" || name == "acr-enterprise" {
		path = "^/storage/.*" + path
	}
	cuts := cutOnce(b.from.server, http.MethodGet, path)
	b.from.server.ResetLog()
	o := b.copy("1", transfer.Job{Referrers: true}, transfer.Options{})
	if o.err != nil || cuts() != 2 {
		t.Fatalf("%d cuts, failed: %v", cuts(), o.err)
	}
	b.arrived(b.to, "1", bigIndex)
	if signed {
		b.complete(b.to, bigSignature)
	}
	again := b.from.server.BlobBytesOut() - bigIndex.BlobBytes()
	if again > slack || o.reread > slack {
		t.Errorf("%d bytes were read twice, and the run reports %d", again, o.reread)
	}
	b.nothingLeft(0)
}
