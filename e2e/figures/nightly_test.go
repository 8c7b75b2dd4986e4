package figures

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/corpora"
	"github.com/regsync/regsync/e2e/lab"
	"github.com/regsync/regsync/e2e/storage"
)

// nightly is 20 repositories with 14 tags of images each.
func nightly() corpora.Apps {
	return corpora.Apps{
		Platforms: []string{"linux/amd64", "linux/arm64", "linux/s390x"},
		Layer:     1000,
		Tags: map[string]string{
			"1.0": "1.0", "1.1": "1.1", "1.2": "1.2", "2.0": "2.0", "2.1": "2.1",
			"1": "1.2", "1.0.0": "1.0", "1.1.0": "1.1", "1.2.0": "1.2", "2": "2.1", "2.0.0": "2.0", "2.1.0": "2.1",
			"stable": "2.0", "latest": "2.1",
		},
	}
}

// signed has two signatures, one of a child, and two artifacts about one image besides.
func signed() corpora.Apps {
	c := nightly()
	c.Attach = func(r *lab.Repository, images map[string]v1.Descriptor) {
		r.Sign(images["1.2"])
		r.Sign(images["2.1"])
		r.Sign(images["2.1 linux/arm64"])
		r.Refer(images["2.1"], "application/spdx+json", "bill of materials of "+r.Name)
		r.Refer(images["2.1"], "application/vnd.example.scan", "scan of "+r.Name)
		r.Refer(images["2.1 linux/amd64"], "application/spdx+json", "bill of materials of a child")
	}
	return c
}

// nights is a team that is mirrored again and again, with a state that is kept.
type nights struct {
	*lab.Storage
	shell               *lab.Shell
	config              string
	origin, mirror      string // the registries themselves
	source, destination *lab.Proxy
}

// nights mirrors a corpus for the first time. More is what else the entry says.
func (b *bench) nights(t *testing.T, c corpora.Apps, more string) *nights {
	t.Helper()
	n := &nights{Storage: lab.NewStorage(t), shell: lab.NewShell(t, b.regsync)}
	c.Fill(n.Storage.Storage)
	n.origin, n.mirror = n.Serve(t, b.registry), lab.StartRegistry(t, b.registry)
	n.source, n.destination = lab.StartProxy(t, n.origin, 0), lab.StartProxy(t, n.mirror, 0)
	n.config = lab.MirrorAll(t, n.shell, n.Storage, n.source.Host, n.destination.Host, more)
	n.next(t)
	return n
}

// next mirrors once more, and returns what passed at both sides.
func (n *nights) next(t *testing.T) (read, written []lab.Exchange) {
	t.Helper()
	n.shell.Regsync(t, "sync", "-c", n.config)
	return n.source.Take(), n.destination.Take()
}

func (b *bench) secondNight(t *testing.T) {
	n := b.nights(t, nightly(), "")
	n.WantTags(t, n.mirror, nil)
	b.nothingToDo(t, n, "20 repositories × 14 tags, nothing to do")
}

func (b *bench) secondNightSignatures(t *testing.T) {
	n := b.nights(t, signed(), "")
	n.WantTags(t, n.mirror, isList)
	b.nothingToDo(t, n, "the same and 5 attached tags each, nothing to do")
}

func (b *bench) secondNightSubset(t *testing.T) {
	n := b.nights(t, signed(), "    platforms: [linux/amd64, linux/arm64]\n")
	index := platformsAt(t, n.mirror, "team/app00", "2.1")
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(index, want) {
		t.Errorf("the index at the destination has %v, want %v", index, want)
	}
	b.nothingToDo(t, n, "the same, 2 of 3 platforms, nothing to do")
}

// nothingToDo measures the second night: one request a tag and side, and a listing of each
// repository and side. Nothing is sent.
func (b *bench) nothingToDo(t *testing.T, n *nights, what string) {
	t.Helper()
	read, written := n.next(t)
	images, attached := 0, 0
	for _, r := range n.Repositories {
		for tag := range r.Tags {
			if kindOfName(tag) == imageTag {
				images++
			} else {
				attached++
			}
		}
	}
	source, destination := tally(read), tally(written)
	atMost(t, b, what+": requests", len(read)+len(written), 2*(images+attached+len(n.Repositories)))
	atMost(t, b, "… for tags of images", source[imageTag]+destination[imageTag], 2*images)
	if attached > 0 {
		atMost(t, b, "… for tags attached to images", source[attachedTag]+destination[attachedTag], 2*attached)
	}
	atMost(t, b, "… for one tag at one side", max(busiestTag(read), busiestTag(written)), 1)
	atMost(t, b, "… listings of one side", max(source[listing], destination[listing]), len(n.Repositories))
	exactly(t, b, "… counted pulls (manifests read at the source)", source[pull], 0)
	for _, e := range written {
		if e.Method != http.MethodHead && e.Method != http.MethodGet {
			t.Errorf("%s %s, although nothing was to do", e.Method, e.Path)
		}
	}
	t.Logf("at the source: %v\nat the destination: %v", source, destination)
}

// busiestTag is how many requests were made for the tag that most were made for.
func busiestTag(exchanges []lab.Exchange) int {
	count := map[string]int{}
	most := 0
	for _, e := range exchanges {
		if kind := kindOf(e); kind == imageTag || kind == attachedTag {
			count[e.Path]++
			most = max(most, count[e.Path])
		}
	}
	return most
}

// signedSince: an image is unchanged, and has a signature and an artifact more than it had
// the night before.
func (b *bench) signedSince(t *testing.T) {
	n := b.nights(t, signed(), "")
	n.next(t)
	r := n.Repositories[0]
	before := maps.Clone(r.Blobs)
	fresh, known := r.Tags["1.1"], r.Tags["2.1"]
	for _, image := range []v1.Hash{fresh, known} {
		subject := v1.Descriptor{Digest: image, Size: r.Manifests[image]}
		r.Refer(subject, "application/vnd.example.scan", "scan on another day of "+image.Hex)
	}
	r.Sign(v1.Descriptor{Digest: fresh})

	read, written := n.next(t)
	n.WantTags(t, n.mirror, isList)
	arrived := 0
	for _, image := range []v1.Hash{fresh, known} {
		tag := storage.AttachedTag(image)
		want := referrersAt(t, n.origin, r.Name, tag)
		if got := referrersAt(t, n.mirror, r.Name, tag); slices.Equal(got, want) {
			arrived++
		} else {
			t.Errorf("referrers of %s: %v, want %v", image, got, want)
		}
	}
	exactly(t, b, "a signature and referrers added since: lists of referrers that arrive", arrived, 2)
	exactly(t, b, "… bytes read of the image's own blobs", bytesOf(read, before), 0)
	exactly(t, b, "… bytes sent of the image's own blobs", bytesOf(written, before), 0)
	b.noted("… requests, all 20 repositories", len(read)+len(written))
	t.Logf("at the source: %v\nat the destination: %v", tally(read), tally(written))
}

// isList reports whether a tag is one of a list of referrers: what writes it may write it
// in its own way.
func isList(tag string) bool {
	return strings.HasPrefix(tag, "sha256-") && !strings.HasSuffix(tag, ".sig")
}

// bytesOf sums the bytes, in both directions, of blobs.
func bytesOf(exchanges []lab.Exchange, blobs map[v1.Hash]int64) int64 {
	var sum int64
	for _, e := range exchanges {
		for blob := range blobs {
			if (e.Blob() || e.Upload()) && strings.Contains(e.Path, blob.Hex) {
				sum += max(e.Sent, e.Received)
			}
		}
	}
	return sum
}

// referrersAt are the artifacts on the list at a tag, in order.
func referrersAt(t *testing.T, host, repository, tag string) []string {
	t.Helper()
	var listed []string
	for _, d := range indexAt(t, host, repository, tag).Manifests {
		listed = append(listed, d.Digest.String())
	}
	slices.Sort(listed)
	return listed
}

func platformsAt(t *testing.T, host, repository, tag string) []string {
	t.Helper()
	var platforms []string
	for _, d := range indexAt(t, host, repository, tag).Manifests {
		platforms = append(platforms, d.Platform.String())
	}
	return platforms
}

// indexAt reads an index from a plain registry.
func indexAt(t *testing.T, host, repository, tag string) v1.IndexManifest {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		fmt.Sprintf("http://%s/v2/%s/manifests/%s", host, repository, tag), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/vnd.oci.image.index.v1+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var index v1.IndexManifest
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", request.URL, response.Status)
		return index
	}
	if err := json.NewDecoder(response.Body).Decode(&index); err != nil {
		t.Fatal(err)
	}
	return index
}
