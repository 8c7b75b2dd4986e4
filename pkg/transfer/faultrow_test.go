package transfer_test

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/transfer"
)

// point selects the requests that a fault strikes.
type point struct {
	method, path string
	large        bool // only requests that send or read the large layer
}

var (
	anyManifest = point{method: http.MethodGet, path: "/manifests/"}
	headOfTag   = point{method: http.MethodHead, path: "/manifests/"}
	largeBlob   = point{method: http.MethodGet, path: "/blobs/sha256:", large: true}
	opening     = point{method: http.MethodPost, path: "/uploads/"}
	largeBody   = point{method: http.MethodPut, path: "/uploads/", large: true}
	putOfTag    = point{method: http.MethodPut, path: "/manifests/1$"}
	anyPut      = point{method: http.MethodPut, path: "/manifests/"}
	referrersOf = point{method: http.MethodGet, path: "/referrers/"}
	tokenOf     = point{method: http.MethodGet, path: "^/token$"}
)

// strikes reports whether a point selects a request.
func (p point) strikes(r *http.Request) bool {
	if !registrytest.Match(p.method, p.path)(r) {
		return false
	}
	return !p.large || r.ContentLength > largeSize/2 || strings.Contains(r.URL.Path, large.Encoded())
}

// counting returns strikes, and counts the requests that it selects.
func (p point) counting(n *atomic.Int32) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if !p.strikes(r) {
			return false
		}
		n.Add(1)
		return true
	}
}

func ops(of ...operation) []operation { return of }

func quirks(of ...registrytest.Name) []registrytest.Name { return of }

// is returns a function that matches the error target.
func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// answers returns a function that matches a registry's answer with a status.
func answers(status int) func(error) bool {
	return func(err error) bool {
		answer, ok := errors.AsType[*registry.Error](err)
		return ok && answer.Status == status
	}
}

// timesOut reports whether an error is a timeout.
func timesOut(err error) bool {
	silent, ok := errors.AsType[net.Error](err)
	return ok && silent.Timeout()
}

// tooLarge reports whether an error says that even the smallest requests are too large.
func tooLarge(err error) bool {
	refusal, ok := errors.AsType[*registry.SizeError](err)
	return ok && refusal.Next == 0
}

// operations returns the operations in all that the row applies to.
func (f fault) operations(all ...operation) []operation {
	return slices.DeleteFunc(all, func(op operation) bool {
		bytes := f.on.large || f.cut > 0
		// A mount sends no bytes of the large layer, and a spool matters only for bytes.
		useless := op == mountLayers && bytes || op == copyTwice && !bytes
		return useless || slices.Contains(f.not, op) || len(f.only) > 0 && !slices.Contains(f.only, op)
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

// options returns the options of the row's registry.
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

// strike makes a registry fail as the row says. body selects the requests with the large layer. It returns a check
// that a request met each fault.
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
	if again := b.from.server.BlobBytesOut() - needed(op); again > f.mayWaste() {
		t.Errorf("%d bytes were read twice, want at most %d", again, f.mayWaste())
	}
	b.nothingLeft(0)
}

// mayWaste is how many bytes may pass twice.
func (f fault) mayWaste() int64 {
	if f.cut > 0 {
		return f.wasted + slack + inFlight // net/http reads ahead
	}
	return f.wasted + slack
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
	if again := b.to.server.BlobBytesIn() - needed(op); again > f.mayWaste() {
		t.Errorf("%d bytes were sent twice, want at most %d", again, f.mayWaste())
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

// wanted returns the image of an operation.
func wanted(op operation) *registrytest.Fixture {
	if op == copyIndex {
		return index
	}
	return image
}

// needed returns how many bytes of blobs an operation must transfer.
func needed(op operation) int64 {
	if op == mountLayers {
		return 0
	}
	return wanted(op).BlobBytes()
}

// check compares the outcome of a copy, and the content of the destinations, with the row.
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
	if b.also != nil && side == transfer.SideDestination { // the second destination has no fault
		b.arrived(b.also, "1", wanted(op))
	}
}

// read reads the image with the backend, without the engine.
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
