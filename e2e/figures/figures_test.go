package figures

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/regsync/regsync/e2e/lab"
)

// bench has what all figures are measured with, and the table of them.
type bench struct {
	regsync  string
	registry string
	lines    []string
}

func TestFigures(t *testing.T) {
	b := &bench{}
	var err error
	dir := t.TempDir()
	if b.regsync, err = lab.BuildRegsync(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if b.registry, err = lab.BuildRegistry(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Run("one image", b.oneImage)
	t.Run("large blobs", b.largeBlobs)
	t.Run("subset of platforms", b.subset)
	t.Run("shared layer, plain", b.sharedLayerPlain)
	t.Run("shared layer, tokens", b.sharedLayerTokens)
	t.Run("three destinations", b.fanOut)
	t.Run("a slow destination", b.slowDestination)
	t.Run("opposite streams", b.opposite)
	t.Run("full window", b.fullWindow)
	t.Run("cuts", b.cuts)
	t.Run("kills", b.kills)
	t.Run("survival, cut source", b.cutSource)
	t.Run("survival, bad line", b.badLine)
	t.Run("survival, flips", b.flips)
	t.Run("survival, stall", b.stall)
	t.Run("survival, leftover", b.leftover)
	t.Run("survival, expiring token", b.expiringToken)
	t.Run("memory", b.memory)
	t.Run("first night", b.firstNight)
	t.Run("second night", b.secondNight)
	t.Run("second night, signatures", b.secondNightSignatures)
	t.Run("second night, subset of platforms", b.secondNightSubset)
	t.Run("signed since", b.signedSince)
	t.Run("10,000 tags", b.scale)
	t.Log("\n" + b.table(t))
}

// atMost notes a figure and fails the test where it is above its limit.
func atMost[N cmp.Ordered](t *testing.T, b *bench, what string, got, limit N) {
	t.Helper()
	b.note(what, fmt.Sprint(got), fmt.Sprintf("≤ %v", limit), got <= limit)
	if got > limit {
		t.Errorf("%s: %v, want at most %v", what, got, limit)
	}
}

// aimed notes a ratio of times. Machines are noisy, so that only one far off fails the test;
// pkg/transfer proves the same on a clock of its own.
func aimed(t *testing.T, b *bench, what string, got, limit float64) {
	t.Helper()
	b.note(what, fmt.Sprint(got), fmt.Sprintf("≤ %v", limit), got <= limit)
	if got > 2*limit {
		t.Errorf("%s: %v, want at most %v", what, got, limit)
	}
}

// exactly notes a figure and fails the test where it is another.
func exactly[N comparable](t *testing.T, b *bench, what string, got, want N) {
	t.Helper()
	b.note(what, fmt.Sprint(got), fmt.Sprint(want), got == want)
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// noted notes a figure that has no limit.
func (b *bench) noted(what string, got any) { b.note(what, fmt.Sprint(got), "–", true) }

func (b *bench) note(what, got, limit string, ok bool) {
	verdict := "ok"
	if !ok {
		verdict = "FAILED"
	}
	b.lines = append(b.lines, strings.Join([]string{what, got, limit, verdict}, "\t"))
}

func (b *bench) table(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	writer := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	fmt.Fprintln(writer, "figure\tmeasured\twanted\t")
	for _, line := range b.lines {
		fmt.Fprintln(writer, line)
	}
	if err := writer.Flush(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// mebibytes rounds up.
func mebibytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }
