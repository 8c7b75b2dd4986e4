package transfer_test

import (
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
)

const (
	largeSize = 400 << 10
	half      = largeSize / 2
	most      = 300 << 10 // enough to continue an upload
	always    = 1 << 20   // requests
	slack     = 16 << 10  // bytes in flight when a connection breaks, or bytes besides the large layer
)

// The images that are copied. All have the large layer.
var (
	large  = digest.FromBytes(registrytest.Random(7, largeSize))
	layers = []registrytest.Layer{{Size: largeSize, Seed: 7}, {Size: 2000}}
	image  = registrytest.Image(registrytest.ImageSpec{Seed: 1, Layers: layers})
	index  = registrytest.Index(registrytest.IndexSpec{}, image,
		registrytest.Image(registrytest.ImageSpec{Seed: 2, Layers: layers, Platform: "linux/arm64"}))
	older     = registrytest.Image(registrytest.ImageSpec{Seed: 3})
	signature = registrytest.Image(registrytest.ImageSpec{
		ConfigMediaType: "application/vnd.oci.empty.v1+json", ArtifactType: "application/x-signature",
		Subject: image, Layers: []registrytest.Layer{{Size: 50, Seed: 4}},
	})
)

// notMet are the quirks that none of the operations meets. Tests of the registry client do.
var notMet = []registrytest.Name{
	registrytest.NoCatalog, registrytest.TagDeleteRefused, registrytest.TwoComponents, registrytest.NoLayerURLs,
	registrytest.TagPages, registrytest.ReferrersAPI,
}

// The table of each side has every fault that can occur there.
func TestFaultsAreAllInTheTable(t *testing.T) {
	has := func(table []fault, name registrytest.Name) bool {
		return slices.ContainsFunc(table, func(f fault) bool { return f.name == name || slices.Contains(f.with, name) })
	}
	for _, e := range registrytest.Catalogue() {
		if slices.Contains(notMet, e.Name) {
			continue
		}
		source, destination := has(sourceFaults, e.Name), has(destinationFaults, e.Name)
		if e.Side != registrytest.AtDestination && !source || e.Side != registrytest.AtSource && !destination {
			t.Errorf("%s, at %s, is not in the table: source %v, destination %v", e.Name, e.Side, source, destination)
		}
	}
}

// operation is what the test does with a place that has a fault.
type operation string

const (
	copyImage     operation = "image"
	copyIndex     operation = "index"
	moveTag       operation = "moved tag"
	copyTwice     operation = "two destinations" // through a spool
	mountLayers   operation = "mount"
	copyReferrers operation = "referrers"
	readImage     operation = "read"
)

// fault is a row of the table: a fault, where it strikes, and the outcome of operations that meet it.
type fault struct {
	name  registrytest.Name
	size  int64 // of a sized quirk
	at    int64 // byte
	on    point // requests that a fault of single requests strikes
	times int   // how many of them; one if zero
	// with are further quirks, and cut also resets the large layer's first body at that byte.
	with   []registrytest.Name
	cut    int64
	tokens bool // the registry wants tokens
	// only are the operations to try, or all if empty; not are skipped.
	only, not []operation
	// fails reports whether an error is the expected one; nil if the operation must succeed.
	fails func(error) bool
	// wasted is the number of blob bytes that may be transferred twice.
	wasted int64
	// sessions is the number of upload sessions that the run cannot remove.
	sessions int
}

// sourceFaults are the faults of a source registry.
var sourceFaults = []fault{
	{name: registrytest.Reset, at: 0, on: largeBlob},
	{name: registrytest.Reset, at: half, on: largeBlob},
	{name: registrytest.Reset, at: 0, on: anyManifest, times: 2},
	{name: registrytest.Reset, at: half, on: largeBlob, times: 3, with: quirks(registrytest.RangeIgnored), wasted: largeSize},
	{name: registrytest.Reset, at: 0, on: largeBlob, times: always, fails: is(syscall.ECONNRESET)},
	{name: registrytest.CleanEnd, at: 0, on: largeBlob},
	{name: registrytest.CleanEnd, at: half, on: largeBlob},
	{name: registrytest.CleanEnd, at: 100, on: anyManifest},
	{name: registrytest.Reset, at: 0, on: anyManifest, times: always, fails: is(syscall.ECONNRESET)},
	{name: registrytest.Stall, at: 0, on: anyManifest},
	{name: registrytest.Stall, at: 0, on: anyManifest, times: always, fails: timesOut},
	{name: registrytest.Stall, at: 100, on: anyManifest, times: always, fails: timesOut},
	{name: registrytest.Stall, at: 0, on: largeBlob},
	{name: registrytest.Stall, at: half, on: largeBlob},
	{name: registrytest.Stall, at: 0, on: largeBlob, times: always, fails: timesOut},
	{name: registrytest.Drip, at: half, on: largeBlob, times: always},
	{name: registrytest.Status500, on: anyManifest},
	{name: registrytest.Status502, on: largeBlob, times: 2},
	{name: registrytest.Status503, on: largeBlob},
	{name: registrytest.Status503, on: largeBlob, times: always, fails: answers(http.StatusServiceUnavailable)},
	{name: registrytest.Status504, on: headOfTag},
	{name: registrytest.Limited, on: anyManifest},
	{name: registrytest.LimitedFor, on: largeBlob},
	{name: registrytest.Limited, on: largeBlob, times: always, fails: answers(http.StatusTooManyRequests)},
	{name: registrytest.LimitedDate, on: headOfTag},
	{name: registrytest.LimitedUnix, on: anyManifest},
	{name: registrytest.WrongBytes, at: half, on: largeBlob, wasted: largeSize},
	{name: registrytest.WrongBytes, at: half, on: largeBlob, times: always, fails: is(content.ErrMismatch), wasted: 2 * largeSize},
	{name: registrytest.WrongBytes, at: 10, on: anyManifest},
	{name: registrytest.WrongBytes, at: 10, on: anyManifest, times: always, fails: is(content.ErrMismatch)},
	{name: registrytest.WrongLength, on: largeBlob, times: always, fails: is(content.ErrMismatch)},
	{name: registrytest.Reset, on: referrersOf, only: ops(copyReferrers)},
	{name: registrytest.Stall, on: referrersOf, only: ops(copyReferrers)},
	{name: registrytest.Status503, on: referrersOf, only: ops(copyReferrers)},
	{name: registrytest.EndsEarly, at: 30, on: referrersOf, only: ops(copyReferrers)},
	{name: registrytest.Reset, on: tokenOf, tokens: true},
	{name: registrytest.Stall, on: tokenOf, tokens: true},
	{name: registrytest.Status500, on: tokenOf, tokens: true},
	{name: registrytest.LimitedFor, on: tokenOf, tokens: true},
	{name: registrytest.EndsEarly, at: 10, on: tokenOf, tokens: true},
	{name: registrytest.EndsEarly, at: half, on: largeBlob},
	{name: registrytest.EndsEarly, at: 100, on: anyManifest},
	{name: registrytest.WrongLength, on: anyManifest},
	{name: registrytest.EndsEarly, at: 100, on: anyManifest, times: always, fails: is(content.ErrMismatch)},
	{name: registrytest.LayerMissing, on: largeBlob, times: always, fails: is(content.ErrNotFound)},
	{name: registrytest.DeadRedirect, on: largeBlob},
	{name: registrytest.DeadRedirect, on: largeBlob, times: always, fails: is(syscall.ECONNREFUSED)},
	{name: registrytest.RangeIgnored, cut: half, wasted: half},
	{name: registrytest.RangeWrong, cut: half, wasted: half},
	{name: registrytest.RangeShifted, cut: half, wasted: largeSize},
	{name: registrytest.GzipUnasked},
	{name: registrytest.GzipUnasked, cut: half},
	{name: registrytest.TagMoves},
	{name: registrytest.BlobRedirect, cut: half},
	{name: registrytest.TokenForOne, tokens: true},
	{name: registrytest.QuotaHeaders},
}

// destinationFaults are the faults of a destination registry.
var destinationFaults = []fault{
	{name: registrytest.Reset, at: 0, on: largeBody},
	{name: registrytest.Reset, at: most, on: largeBody},
	{name: registrytest.Reset, at: 100, on: largeBody},
	{name: registrytest.Reset, at: 0, on: largeBody, times: always, fails: is(syscall.ECONNRESET)},
	{name: registrytest.Reset, on: opening},
	{name: registrytest.Reset, on: anyPut},
	{name: registrytest.CleanEnd, at: most, on: largeBody},
	{name: registrytest.CleanEnd, on: anyPut},
	{name: registrytest.Stall, at: most, on: largeBody},
	{name: registrytest.Stall, on: opening},
	{name: registrytest.Stall, on: opening, times: always, fails: timesOut},
	{name: registrytest.Stall, on: putOfTag, times: always, fails: timesOut},
	// Uploads at a registry that is down are not cancelled.
	{name: registrytest.Stall, on: largeBody, times: always, fails: timesOut, sessions: 4},
	{name: registrytest.Stall, on: putOfTag},
	{name: registrytest.Drip, at: half, on: largeBody, times: always},
	{name: registrytest.CommitLost, on: largeBody},
	{name: registrytest.CommitLost, on: largeBody, times: always},
	{name: registrytest.CommitLost, on: anyPut},
	{name: registrytest.CommitLost, on: putOfTag, times: always},
	{name: registrytest.Reset, on: tokenOf, tokens: true},
	{name: registrytest.Stall, on: tokenOf, tokens: true},
	{name: registrytest.Status500, on: tokenOf, tokens: true},
	{name: registrytest.LimitedFor, on: tokenOf, tokens: true},
	{name: registrytest.Status500, on: largeBody},
	{name: registrytest.Status502, on: opening, times: 2},
	{name: registrytest.Status503, on: largeBody},
	{name: registrytest.Status503, on: largeBody, times: always, fails: answers(http.StatusServiceUnavailable)},
	{name: registrytest.Status504, on: anyPut},
	{name: registrytest.Status500, on: putOfTag, times: always, fails: answers(http.StatusInternalServerError)},
	{name: registrytest.Limited, on: opening},
	{name: registrytest.LimitedFor, on: anyPut},
	{name: registrytest.LimitedDate, on: opening},
	{name: registrytest.LimitedUnix, on: largeBody},
	{name: registrytest.Unauthorized, at: half, on: largeBody, wasted: half},
	{name: registrytest.Unauthorized, at: half, on: largeBody, tokens: true, wasted: half},
	{name: registrytest.Unauthorized, at: half, on: largeBody, tokens: true, times: always, fails: answers(http.StatusUnauthorized), wasted: 10 * half},
	{name: registrytest.Unauthorized, at: half, on: largeBody, times: always, fails: answers(http.StatusUnauthorized), wasted: 10 * half},
	{name: registrytest.UnknownBlob, on: putOfTag},
	{name: registrytest.UnknownBlob, on: putOfTag, times: always, fails: answers(http.StatusBadRequest)},
	{name: registrytest.InGC, only: ops(mountLayers), wasted: largeSize},
	{name: registrytest.StatusOffByOne, cut: most, wasted: most},
	{name: registrytest.StatusNoLocation, cut: most},
	{name: registrytest.Status404AfterCut, cut: most, wasted: most, sessions: 1},
	{name: registrytest.CutDeletesSession, cut: most, wasted: most},
	{name: registrytest.CutDropsChunk, cut: most, wasted: most},
	{name: registrytest.ContentRangeIgnored, cut: most},
	{name: registrytest.RangeStuck, cut: most},
	{name: registrytest.LastPatchOnly, cut: most},
	{name: registrytest.Patch201, cut: most},
	{name: registrytest.PatchRefused, cut: most},
	{name: registrytest.Request413, size: half, fails: tooLarge, not: ops(mountLayers)},
	{name: registrytest.Put413, size: half, fails: tooLarge, not: ops(mountLayers)},
	{name: registrytest.Range416, size: 64 << 10, cut: most, wasted: most},
	{name: registrytest.CancelRefused, with: quirks(registrytest.StatusOffByOne), cut: most, wasted: most, sessions: 1},
	{name: registrytest.LocationElsewhere, cut: most},
	{name: registrytest.Mount202, not: ops(mountLayers)},
	{name: registrytest.Mount202, only: ops(mountLayers), wasted: largeSize},
	{name: registrytest.Mount400, only: ops(mountLayers), wasted: largeSize},
	{name: registrytest.Mount401, only: ops(mountLayers), wasted: largeSize},
	{name: registrytest.Mount404, only: ops(mountLayers), wasted: largeSize},
	{name: registrytest.MountCommitted},
	{name: registrytest.MountAny},
	{name: registrytest.ProbeRefused},
	{name: registrytest.TokenForOne, tokens: true, not: ops(mountLayers)},
	{name: registrytest.TokenForOne, tokens: true, only: ops(mountLayers), wasted: largeSize},
	{name: registrytest.TagImmutable, not: ops(moveTag)},
	{name: registrytest.TagImmutable, only: ops(moveTag), fails: answers(http.StatusBadRequest)},
	{name: registrytest.ImagesOnly},
	{name: registrytest.QuotaHeaders},
}

// TestFaults combines faults, operations and the place at the other side. In each case the image arrives byte for
// byte, or the operation fails with the right error for the right side; a tag points at the old image or the
// complete new one; nothing is left over; and the bytes that are transferred twice are bounded.
func TestFaults(t *testing.T) {
	full := templates(t)
	for _, f := range sourceFaults {
		for _, op := range f.operations(copyImage, copyIndex, copyTwice, moveTag, copyReferrers, readImage) {
			for _, kind := range f.kinds(op) {
				inBubble(t, f.title("source", op, kind), func(t *testing.T) { f.atSource(t, full, op, kind) })
			}
		}
	}
	for _, f := range destinationFaults {
		for _, op := range f.operations(copyImage, copyIndex, copyTwice, moveTag, mountLayers, copyReferrers) {
			for _, kind := range f.kinds(op) {
				inBubble(t, f.title("destination", op, kind), func(t *testing.T) { f.atDestination(t, full, op, kind) })
			}
		}
	}
}

// kinds returns the kinds of places at the other side. A store is a layout with names, and a layout has no
// repositories to mount from.
func (f fault) kinds(op operation) []string {
	switch op {
	case copyImage:
		return []string{atRegistry, inLayout, inStore}
	case moveTag, copyReferrers:
		return []string{atRegistry, inLayout}
	default:
		return []string{atRegistry}
	}
}
