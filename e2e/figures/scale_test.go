package figures

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/corpora"
	"github.com/regsync/regsync/e2e/lab"
)

// scale mirrors 100, 1,000 and 10,000 tags that are there already, three times each. Two
// registries serve one storage: whatever is at one is at the other.
func (b *bench) scale(t *testing.T) {
	sizes := []int{100, 1000, 10_000}
	storages := make([]*lab.Storage, len(sizes))
	times := make([][]time.Duration, len(sizes))
	var peak int64
	mirrors := make([]func() *lab.Outcome, len(sizes))
	for i, tags := range sizes {
		storages[i] = manyTags(t, tags)
		shell := lab.NewShell(t, b.regsync)
		config := lab.MirrorAll(t, shell, storages[i], storages[i].Serve(t, b.registry), storages[i].Serve(t, b.registry), "")
		mirrors[i] = func() *lab.Outcome { return shell.Regsync(t, "sync", "-c", config) }
	}
	for range 3 {
		for i, mirror := range mirrors {
			run := mirror()
			times[i] = append(times[i], run.Elapsed)
			peak = max(peak, run.PeakMemory)
		}
	}
	for i, tags := range sizes {
		b.noted(fmt.Sprintf("%d tags, nothing to do: time", tags), median(times[i]).Round(10*time.Millisecond))
	}
	atMost(t, b, "10000 tags, nothing to do: peak memory, MiB", mebibytes(peak), 150)
	aimed(t, b, "10000 tags: time, times that of 1000", ratio(median(times[2]), median(times[1])), 13)
	aimed(t, b, "1000 tags: time, times that of 100", ratio(median(times[1]), median(times[0])), 13)
}

// manyTags is a storage of 20 repositories with so many tags together, each of an image of
// its own.
func manyTags(t *testing.T, tags int) *lab.Storage {
	t.Helper()
	storage := lab.NewStorage(t)
	for n := range corpora.Repositories {
		r := storage.Repository(fmt.Sprintf("team/app%02d", n))
		layer := r.Layer(r.Name, 1000)
		for i := range tags / corpora.Repositories {
			tag := fmt.Sprintf("1.%d", i)
			r.Tag(tag, r.Image("linux/amd64", r.Name+" "+tag, layer))
		}
	}
	return storage
}

func median(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2]
}
