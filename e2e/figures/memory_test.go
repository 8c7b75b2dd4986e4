package figures

import (
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/lab"
)

func (b *bench) memory(t *testing.T) {
	origin := lab.StartRegistry(t, b.registry)
	lab.PushLarge(t, origin+"/team/large:1", 256<<20)
	shell := lab.NewShell(t, b.regsync)
	from := origin + "/team/large:1"

	to := lab.StartRegistry(t, b.registry) + "/team/large:1"
	before := shell.DiskUse()
	one := shell.Regsync(t, "copy", from, to)
	atMost(t, b, "a layer of 256 MiB: peak memory, MiB", mebibytes(one.PeakMemory), 64)
	// The state's hints are small; a temporary file would have the layer's size.
	atMost(t, b, "a layer of 256 MiB: files written meanwhile, MiB", mebibytes(one.PeakDisk-before), 1)
	b.noted("a layer of 256 MiB: time", one.Elapsed.Round(100*time.Millisecond))
	wantDigest(t, to, from)
	wantMeasured(t, one)

	args := []string{"copy", from}
	for range 3 {
		args = append(args, lab.StartRegistry(t, b.registry)+"/team/large:1")
	}
	three := shell.Regsync(t, args...)
	atMost(t, b, "the same to 3 destinations: peak memory, MiB", mebibytes(three.PeakMemory), 96)
	for _, to := range args[2:] {
		wantDigest(t, to, from)
	}
	wantMeasured(t, three)
}

// wantMeasured guards against a watch that saw nothing.
func wantMeasured(t *testing.T, outcome *lab.Outcome) {
	t.Helper()
	if outcome.PeakMemory < 4<<20 {
		t.Errorf("peak memory of %d bytes: not measured", outcome.PeakMemory)
	}
}
