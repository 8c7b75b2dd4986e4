package figures

import (
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/corpora"
	"github.com/regsync/regsync/e2e/lab"
)

// firstNight mirrors a team to an empty registry.
func (b *bench) firstNight(t *testing.T) {
	storage := lab.NewStorage(t)
	corpora.Team().Fill(storage.Storage)
	least := corpora.FloorOf(storage.Storage)
	if want := (corpora.Floor{Listings: 20, Tags: 280, Children: 80, Blobs: 764, Mounts: 156, BlobBytes: least.BlobBytes, ManifestBytes: least.ManifestBytes}); least != want {
		t.Fatalf("the team is %+v, want %+v", least, want)
	}
	source := lab.StartProxy(t, storage.Serve(t, b.registry), 0)
	mirror := lab.StartRegistry(t, b.registry)
	destination := lab.StartProxy(t, mirror, 0)
	shell := lab.NewShell(t, b.regsync)

	run := shell.Regsync(t, "sync", "-c", lab.MirrorAll(t, shell, storage, source.Host, destination.Host, ""))
	read, written := source.Take(), destination.Take()
	b.noted("team, first run: requests that no tool can do without", least.Requests())
	atMost(t, b, "team, first run: requests", len(read)+len(written), 3340)
	atMost(t, b, "team, first run: bytes read, times those of the blobs", share(lab.BlobBytesRead(read), least.BlobBytes), 1.01)
	atMost(t, b, "team, first run: bytes sent, times those of the blobs", share(lab.BlobBytesSent(written), least.BlobBytes), 1.01)
	exactly(t, b, "team, first run: tags with the source's digest", storage.WantTags(t, mirror, nil), 280)
	b.noted("team, first run: time", run.Elapsed.Round(100*time.Millisecond))
	t.Logf("at the source: %v\nat the destination: %v", tally(read), tally(written))
}

// share is rounded up to three digits.
func share(part, whole int64) float64 { return float64((part*1000+whole-1)/whole) / 1000 }
