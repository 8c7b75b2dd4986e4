package transfer_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer"
)

const (
	largeSize = 400 << 10
	half      = largeSize / 2
	most      = 300 << 10 // is worth continuing
	always    = 1 << 20   // requests
	slack     = 16 << 10  // is in flight when a connection breaks, or what images have besides the large layer
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

// Each fault of the catalogue is in the table of its side.
func TestFaultsAreAllInTheTable(t *testing.T) {
	has := func(table []fault, name registrytest.Name) bool {
		return slices.ContainsFunc(table, func(f fault) bool { return f.name == name || slices.Contains(f.with, name) })
	}
	for _, e := range registrytest.Catalogue() {
		source, destination := has(sourceFaults, e.Name), has(destinationFaults, e.Name)
		if e.Side != registrytest.AtDestination && !source || e.Side != registrytest.AtSource && !destination {
			t.Errorf("%s, at %s, is not in the table: source %v, destination %v", e.Name, e.Side, source, destination)
		}
	}
}

// operation is what is done with a place that has a fault.
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

// fault is a row of the table: a fault, where it strikes, and how operations end that meet it.
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
	// only are the operations that are tried; all if empty. not are left out.
	only, not []operation
	// fails reports whether an error is the one that the operation fails with; nil: it arrives.
	fails func(error) bool
	// wasted is how many bytes of blobs may go by twice.
	wasted int64
	// sessions is how many upload sessions the registry makes the run leave.
	sessions int
}

// sourceFaults are those of a registry that is copied from.
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
	{name: registrytest.EndsEarly, at: half, on: largeBlob},
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
	{name: registrytest.ReferrersAPI},
	{name: registrytest.TokenForOne, tokens: true},
	{name: registrytest.QuotaHeaders},
	{name: registrytest.NoCatalog},
	{name: registrytest.TagPages, size: 1},
}

// destinationFaults are those of a registry that is copied to.
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
	// Nothing is cancelled at a registry that is down.
	{name: registrytest.Stall, on: largeBody, times: always, fails: timesOut, sessions: 4},
	{name: registrytest.Stall, on: putOfTag},
	{name: registrytest.Drip, at: half, on: largeBody, times: always},
	{name: registrytest.CommitLost, on: largeBody},
	{name: registrytest.CommitLost, on: largeBody, times: always},
	{name: registrytest.CommitLost, on: anyPut},
	{name: registrytest.CommitLost, on: putOfTag, times: always},
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
	{name: registrytest.Mount202, wasted: largeSize},
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
	{name: registrytest.TagDeleteRefused},
	{name: registrytest.ImagesOnly},
	{name: registrytest.NoLayerURLs},
	{name: registrytest.ReferrersAPI},
	{name: registrytest.TwoComponents},
	{name: registrytest.NoCatalog},
	{name: registrytest.TagPages, size: 1},
	{name: registrytest.QuotaHeaders},
}

// TestFaults crosses faults, operations and the place at the other side. In each case the image arrives
// byte for byte or the operation fails with the right error at the right side; a tag is the old one or
// the complete new one; nothing is left over; and the bytes that go by twice are bounded.
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

// kinds are the places at the other side. A store is a layout with names, and a layout has no
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

// operations are those of all that the row wants.
func (f fault) operations(all ...operation) []operation {
	return slices.DeleteFunc(all, func(op operation) bool {
		unsent := op == mountLayers && (f.on.large || f.cut > 0) // the large layer is mounted
		return unsent || slices.Contains(f.not, op) || len(f.only) > 0 && !slices.Contains(f.only, op)
	})
}

func (f fault) title(side string, op operation, other string) string {
	on := ""
	if f.tokens {
		on = " with tokens"
	}
	if f.on.method != "" {
		on += fmt.Sprintf(" at %d of %s %s", f.at, f.on.method, strings.Trim(f.on.path, "/$"))
	}
	return fmt.Sprintf("%s/%s%s ×%d cut %d/%s/%s", side, f.name, on, f.times, f.cut, op, other)
}

// options are the quirks of the row.
func (f fault) options() []registrytest.Option {
	names := f.with
	if e, _ := f.name.Lookup(); e.Sized {
		names = append(quirks(f.name.At(f.size)), names...)
	} else if e.Lasting {
		names = append(quirks(f.name), names...)
	}
	options := []registrytest.Option{registrytest.With(names...)}
	if f.tokens {
		options = append(options, registrytest.WithTokens(registrytest.TokenConfig{}))
	}
	return options
}

// strike makes a registry fail as the row says. body are the requests with the large layer. It returns
// a check that each fault was met.
func (f fault) strike(t *testing.T, s *registrytest.Server, body point) (met func()) {
	t.Helper()
	var cut, struck atomic.Int32
	if f.cut > 0 {
		s.FailTimes(1, body.counting(&cut), registrytest.Reset.Fault(f.cut))
	}
	e, _ := f.name.Lookup()
	if !e.Lasting {
		s.FailTimes(max(f.times, 1), f.on.counting(&struck), f.name.Fault(f.at))
	}
	return func() {
		t.Helper()
		if f.cut > 0 && cut.Load() == 0 || !e.Lasting && struck.Load() == 0 {
			t.Error("no request has met the fault")
		}
	}
}

func (f fault) atSource(t *testing.T, full map[string]string, op operation, kind string) {
	b := newBench(t, full)
	b.from = b.place(atRegistry, "source", append(f.options(), registrytest.With(registrytest.ReferrersAPI))...)
	b.to = b.place(kind, "destination", registrytest.With(registrytest.ReferrersAPI))
	b.prepare(op)
	if f.name == registrytest.TagMoves {
		b.fill(b.from, map[string]*registrytest.Fixture{"1-next": older})
	}
	body := largeBlob
	if f.name == registrytest.BlobRedirect {
		body.path = "^/storage/.*" + body.path
	}
	met := f.strike(t, b.from.server, body)
	defer met()
	if op == readImage {
		f.read(b)
		return
	}
	b.from.server.ResetLog()
	o := b.copy("1", transfer.Job{Referrers: op == copyReferrers}, transfer.Options{})
	f.check(b, op, o, transfer.SideSource)
	if again := b.from.server.BlobBytesOut() - needed(op); again > f.wasted+slack {
		t.Errorf("%d bytes were read twice, want at most %d", again, f.wasted+slack)
	}
	b.nothingLeft(0)
}

func (f fault) atDestination(t *testing.T, full map[string]string, op operation, kind string) {
	b := newBench(t, full)
	b.from = b.place(kind, "source", registrytest.With(registrytest.ReferrersAPI))
	b.to = b.place(atRegistry, "destination", f.options()...)
	b.prepare(op)
	var options transfer.Options
	if op == mountLayers {
		b.to.server.Push("team/base", "1", image)
		options.MountHints = func(string, digest.Digest) []string { return []string{"team/base"} }
	}
	met := f.strike(t, b.to.server, largeBody)
	defer met()
	b.to.server.ResetLog()
	o := b.copy("1", transfer.Job{Referrers: op == copyReferrers}, options)
	f.check(b, op, o, transfer.SideDestination)
	if again := b.to.server.BlobBytesIn() - needed(op); again > f.wasted+slack {
		t.Errorf("%d bytes were sent twice, want at most %d", again, f.wasted+slack)
	}
	b.nothingLeft(f.sessions)
}

// prepare fills the places of an operation.
func (b *bench) prepare(op operation) {
	b.fill(b.from, map[string]*registrytest.Fixture{"1": wanted(op), "": signature})
	if op == copyTwice {
		b.also = b.place(inLayout, "second")
	}
	if op == moveTag {
		b.fill(b.to, map[string]*registrytest.Fixture{"1": older})
	}
}

// wanted is the image of an operation.
func wanted(op operation) *registrytest.Fixture {
	if op == copyIndex {
		return index
	}
	return image
}

// needed is how many bytes of blobs an operation has to move.
func needed(op operation) int64 {
	if op == mountLayers {
		return 0
	}
	return wanted(op).BlobBytes()
}

// check compares how a copy ended with the row, and what is at the destination with both.
func (f fault) check(b *bench, op operation, o outcome, side transfer.Side) {
	b.t.Helper()
	b.heal()
	if f.fails == nil {
		if o.err != nil {
			b.t.Fatalf("failed: %v", o.err)
		}
		for _, to := range b.destinations() {
			b.arrived(to, "1", wanted(op))
		}
		if op == copyReferrers && f.name != registrytest.ImagesOnly {
			b.complete(b.to, signature)
		}
		return
	}
	if !f.fails(o.err) {
		b.t.Errorf("failed with another error: %v", o.err)
	}
	if at, said := errors.AsType[*transfer.Error](o.err); !said || at.Side != side {
		b.t.Errorf("%v does not blame the %s", o.err, side)
	}
	var before digest.Digest
	if op == moveTag {
		before = older.Digest()
	}
	if got := b.pointsAt(b.to, "1"); got != before {
		b.t.Errorf("the tag points at %q, want %q", got, before)
	}
	if b.also != nil && side == transfer.SideDestination { // the other one has no fault
		b.arrived(b.also, "1", wanted(op))
	}
}

// read reads the image by the backend alone.
func (f fault) read(b *bench) {
	b.t.Helper()
	s := b.open()
	defer s.close(b.t)
	source, err := s.OpenSource(b.t.Context(), b.from.base)
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := source.Resolve(b.t.Context(), "1")
	if err == nil {
		_, err = source.FetchManifest(b.t.Context(), d)
	}
	for _, blob := range image.Layers {
		raw, failed := source.(content.BlobReader).ReadBlob(b.t.Context(), blob)
		if err = cmp.Or(err, failed); failed == nil && digest.FromBytes(raw) != blob.Digest {
			b.t.Errorf("%s has other bytes", blob.Digest)
		}
	}
	if f.fails == nil && err != nil || f.fails != nil && !f.fails(err) {
		b.t.Errorf("ended with %v", err)
	}
}
