package figures

import (
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

// team is 20 repositories with 280 tags, those of 80 signatures among them, and 764 blobs of
// 252 kB at most, 117 MB in all.
func team() corpus {
	return corpus{
		platforms: []string{"linux/amd64", "linux/arm64"},
		layer:     252_000,
		tags: map[string]string{
			"1.0": "1.0", "1.1": "1.1", "1.2": "1.2", "2.0": "2.0", "2.1": "2.1",
			"1": "1.2", "lts": "1.2", "stable": "2.0", "2": "2.1", "latest": "2.1",
		},
		attach: func(r *lab.Repository, images map[string]v1.Descriptor) {
			for _, version := range []string{"1.1", "1.2", "2.0", "2.1"} {
				r.Sign(images[version])
			}
		},
	}
}

// floor counts what no first run can do without.
type floor struct {
	listings int   // of the source's repositories: one request each
	tags     int   // ask the source (the first of equal tags: read the manifest), put: two
	children int   // manifests without a tag, in each repository: read, put: two
	blobs    int   // different ones: read, open the upload, send: three
	mounts   int   // blobs in each further repository: one
	bytes    int64 // of the blobs
}

func (f floor) requests() int { return f.listings + 2*f.tags + 2*f.children + 3*f.blobs + f.mounts }

func floorOf(s *lab.Storage) floor {
	f := floor{listings: len(s.Repositories)}
	blobs := map[v1.Hash]bool{}
	for _, r := range s.Repositories {
		tagged := map[v1.Hash]bool{}
		for _, manifest := range r.Tags {
			tagged[manifest] = true
		}
		f.tags += len(r.Tags)
		f.children += len(r.Manifests) - len(tagged)
		for blob, size := range r.Blobs {
			if blobs[blob] {
				f.mounts++
				continue
			}
			blobs[blob] = true
			f.bytes += size
		}
	}
	f.blobs = len(blobs)
	return f
}

// firstNight mirrors a team to an empty registry.
func (b *bench) firstNight(t *testing.T) {
	storage := lab.NewStorage(t)
	team().fill(storage)
	least := floorOf(storage)
	if want := (floor{listings: 20, tags: 280, children: 80, blobs: 764, mounts: 156, bytes: least.bytes}); least != want {
		t.Fatalf("the team is %+v, want %+v", least, want)
	}
	source := lab.StartProxy(t, storage.Serve(t, b.registry), 0)
	mirror := lab.StartRegistry(t, b.registry)
	destination := lab.StartProxy(t, mirror, 0)
	shell := lab.NewShell(t, b.regsync)

	run := shell.Regsync(t, "sync", "-c", lab.MirrorAll(t, shell, storage, source.Host, destination.Host, ""))
	read, written := source.Take(), destination.Take()
	b.noted("team, first run: requests that no tool can do without", least.requests())
	atMost(t, b, "team, first run: requests", len(read)+len(written), 3340)
	atMost(t, b, "team, first run: bytes read, times those of the blobs", share(lab.BlobBytesRead(read), least.bytes), 1.01)
	atMost(t, b, "team, first run: bytes sent, times those of the blobs", share(lab.BlobBytesSent(written), least.bytes), 1.01)
	exactly(t, b, "team, first run: tags with the source's digest", storage.WantTags(t, mirror, nil), 280)
	b.noted("team, first run: time", run.Elapsed.Round(100*time.Millisecond))
	t.Logf("at the source: %v\nat the destination: %v", tally(read), tally(written))
}

// share is rounded up to three digits.
func share(part, whole int64) float64 { return float64((part*1000+whole-1)/whole) / 1000 }
