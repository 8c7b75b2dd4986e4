package figures

import (
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// sevenBlobs is an index of two platforms with seven different blobs: two configurations,
// and for each platform a layer that both have and two of its own, the last of size bytes.
// Another seed gives other ones.
func sevenBlobs(t *testing.T, seed uint64, size int64) v1.ImageIndex {
	t.Helper()
	shared := lab.Layer(t, seed, 200_000)
	return lab.Index(t, []string{"linux/amd64", "linux/arm64"}, func(platform string) v1.Image {
		seed += 2
		return lab.Image(t, platform, shared, lab.Layer(t, seed, 300_000), lab.Layer(t, seed+1, size))
	})
}

func (b *bench) oneImage(t *testing.T) {
	origin := lab.StartRegistry(t, b.registry)
	source := lab.StartProxy(t, origin, 0)
	mirror := lab.StartRegistry(t, b.registry)
	destination := lab.StartProxy(t, mirror, 0)
	lab.Push(t, origin+"/team/app:1", sevenBlobs(t, 10, 900_000))
	shell := lab.NewShell(t, b.regsync)
	from, to := source.Host+"/team/app:1", destination.Host+"/team/app:1"

	shell.Regsync(t, "copy", from, to)
	read, written := source.Take(), destination.Take()
	atMost(t, b, "index of 2 platforms, 7 blobs, cold: requests", len(read)+len(written), 29)
	wantDigest(t, mirror+"/team/app:1", origin+"/team/app:1")

	shell.Regsync(t, "copy", from, to)
	read, written = source.Take(), destination.Take()
	atMost(t, b, "the same, unchanged: requests", len(read)+len(written), 2)

	untag(t, mirror, "team/app", "1")
	shell.Regsync(t, "copy", from, to)
	exactly(t, b, "the tag deleted, copied again: blob bytes sent", lab.BlobBytesSent(destination.Take()), 0)
	exactly(t, b, "the tag deleted, copied again: blob bytes read", lab.BlobBytesRead(source.Take()), 0)
	wantDigest(t, mirror+"/team/app:1", origin+"/team/app:1")
}

// largeBlobs: a blob of more than 1 MiB is asked for by HEAD before it is sent, as long as
// nobody knows whether the registry answers a mount from the blob's own repository. The first
// run finds that out by one request, for the later ones, which need one to see it confirmed.
func (b *bench) largeBlobs(t *testing.T) {
	origin := lab.StartRegistry(t, b.registry)
	source := lab.StartProxy(t, origin, 0)
	destination := lab.StartProxy(t, lab.StartRegistry(t, b.registry), 0)
	shell := lab.NewShell(t, b.regsync)
	copied := func(name string, seed uint64) int {
		lab.Push(t, origin+"/team/"+name+":1", sevenBlobs(t, seed, 3_000_000))
		shell.Regsync(t, "copy", source.Host+"/team/"+name+":1", destination.Host+"/team/"+name+":1")
		return len(source.Take()) + len(destination.Take())
	}
	atMost(t, b, "the same with 2 blobs over 1 MiB, cold: requests", copied("app", 10), 32)
	atMost(t, b, "another such image, the next day: requests", copied("other", 110), 30)
}

func (b *bench) subset(t *testing.T) {
	origin := lab.StartRegistry(t, b.registry)
	source := lab.StartProxy(t, origin, 0)
	mirror := lab.StartRegistry(t, b.registry)
	destination := lab.StartProxy(t, mirror, 0)
	seed := uint64(30)
	platforms := []string{"linux/amd64", "linux/arm64", "linux/s390x"}
	lab.Push(t, origin+"/team/app:1", lab.Index(t, platforms, func(platform string) v1.Image {
		seed++
		return lab.Image(t, platform, lab.Layer(t, seed, 100_000))
	}))
	shell := lab.NewShell(t, b.regsync)
	copied := []string{"copy", "--platform", "linux/amd64,linux/arm64", source.Host + "/team/app:1", destination.Host + "/team/app:1"}

	shell.Regsync(t, copied...)
	source.Take()
	destination.Take()
	first := lab.Digest(t, mirror+"/team/app:1")
	shell.Regsync(t, copied...)
	atMost(t, b, "2 of 3 platforms, unchanged: requests", len(source.Take())+len(destination.Take()), 4)
	if again := lab.Digest(t, mirror+"/team/app:1"); again != first || again == "" {
		t.Errorf("the rewritten index was %q and is %q", first, again)
	}
}

func (b *bench) sharedLayerPlain(t *testing.T) {
	b.sharedLayer(t, "plain", lab.StartProxy(t, lab.StartRegistry(t, b.registry), 0), lab.NewShell(t, b.regsync))
}

func (b *bench) sharedLayerTokens(t *testing.T) {
	materials, err := lab.NewMaterials(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	host, _ := lab.StartTokenRegistry(t, b.registry, materials)
	proxy := lab.StartProxy(t, host, 0)
	shell := lab.NewShell(t, b.regsync)
	shell.Know(t, materials.Owner, proxy.Host)
	b.sharedLayer(t, "tokens", proxy, shell)
}

// sharedLayer mirrors three repositories with one layer in common in one run.
func (b *bench) sharedLayer(t *testing.T, kind string, destination *lab.Proxy, shell *lab.Shell) {
	t.Helper()
	origin := lab.StartRegistry(t, b.registry)
	shared := lab.Layer(t, 50, 4_000_000)
	config := "version: 1\nsync:\n"
	for i, repository := range []string{"one", "two", "three"} {
		lab.Push(t, origin+"/team/"+repository+":1", lab.Image(t, "linux/amd64", shared, lab.Layer(t, uint64(51+i), 100_000)))
		config += "  - {from: " + origin + "/team/" + repository + ":1, to: " + destination.Host + "/team/" + repository + "}\n"
	}
	shell.Regsync(t, "sync", "-c", shell.Write(t, "sync.yaml", config))

	digest, err := shared.Digest()
	if err != nil {
		t.Fatal(err)
	}
	var sent, mounted int
	for _, e := range destination.Take() {
		if !strings.Contains(e.Path, digest.Hex) {
			continue
		}
		switch {
		case e.Method == http.MethodPut && e.Status == http.StatusCreated:
			sent++
		case e.Mounted():
			mounted++
		}
	}
	exactly(t, b, "3 repositories share a layer, "+kind+": sent", sent, 1)
	exactly(t, b, "3 repositories share a layer, "+kind+": mounted", mounted, 2)
}

// wantDigest wants two plain references to point at the same manifest.
func wantDigest(t *testing.T, got, want string) {
	t.Helper()
	if g, w := lab.Digest(t, got), lab.Digest(t, want); g != w || g == "" {
		t.Errorf("%s is %q, want %q as at %s", got, g, w, want)
	}
}

// untag deletes a tag, as distribution since 3.0 can.
func untag(t *testing.T, host, repository, tag string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+host+"/v2/"+repository+"/manifests/"+tag, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusAccepted {
		t.Fatalf("delete %s:%s: %s", repository, tag, response.Status)
	}
}
