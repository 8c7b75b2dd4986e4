package backend_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

const bigLayer = 9 << 20

func bigImage(seed uint64) *registrytest.Fixture {
	return registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: bigLayer, Seed: seed}}})
}

// bodies counts the requests with a part of a layer, by whether they were accepted.
func bodies(s *registrytest.Server) (accepted, refused int) {
	for _, r := range s.Log().Find("", "/blobs/uploads/") {
		switch {
		case r.Status == http.StatusRequestEntityTooLarge:
			refused++
		case r.BytesIn > 64<<10:
			accepted++
		}
	}
	return accepted, refused
}

// copies copies images one after the other, with one engine.
type copies struct {
	t      *testing.T
	engine *transfer.Engine
}

func newCopies(t *testing.T, options transfer.Options) *copies {
	t.Helper()
	o := backend.New(backend.Options{Store: t.TempDir()})
	t.Cleanup(func() { _ = o.Close() })
	return &copies{t, transfer.New(o, options)}
}

func (c *copies) run(from, to string) (err error) {
	c.t.Helper()
	job := transfer.Job{Source: parse(c.t, from), Destinations: []reference.Reference{parse(c.t, to)}}
	ended := c.engine.Run(c.t.Context(), slices.Values([]transfer.Job{job}), func(r *transfer.Result) { err = errors.Join(err, r.Err()) })
	return errors.Join(err, ended)
}

// A layer that is too large for one request goes in parts. How large they may be is learned once, and
// uses none of the attempts of a blob. The source is slow enough that little of it is read before a refusal.
func TestLayerInParts(t *testing.T) {
	for _, test := range []struct {
		name              string
		limit             int64
		accepted, refused int
	}{
		{"4 MiB", 4 << 20, 3, 1},
		{"1.5 MiB", 3 << 19, 9, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			from, to := registrytest.New(t, registrytest.Slow(32<<20)), registrytest.New(t, registrytest.With(registrytest.Request413.At(test.limit)))
			copies := newCopies(t, transfer.Options{Attempts: 1})
			for i, tag := range []string{"1", "2"} {
				image := bigImage(uint64(i))
				from.Push("app", tag, image)
				from.ResetLog()
				to.ResetLog()
				if err := copies.run(from.Reference("app", tag), to.Reference("app", tag)); err != nil {
					t.Fatal(err)
				}
				if err := to.Complete("app", tag); err != nil {
					t.Error(err)
				}
				refusals := test.refused
				if i > 0 {
					refusals = 0
				}
				if accepted, refused := bodies(to); accepted != test.accepted || refused != refusals {
					t.Errorf("image %s: %d bodies and %d refusals, want %d and %d", tag, accepted, refused, test.accepted, refusals)
				}
				if got, want := to.BlobBytesIn(), bigLayer+image.Config.Size; got != want {
					t.Errorf("image %s: the destination got %d bytes, want %d", tag, got, want)
				}
				if read := from.BlobBytesOut(); read > bigLayer*13/10 {
					t.Errorf("image %s: %d bytes of the source were read, want at most 1.3 times %d", tag, read, bigLayer)
				}
			}
		})
	}
}

// A part whose connection breaks goes on where it broke.
func TestInterruptedPart(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t, registrytest.With(registrytest.Request413.At(4<<20)))
	image := bigImage(1)
	from.Push("app", "1", image)
	to.FailTimes(1, func(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Content-Range"), "4194304-") },
		registrytest.Fault{Cut: true, After: 1 << 20})
	if err := newCopies(t, transfer.Options{}).run(from.Reference("app", "1"), to.Reference("app", "1")); err != nil {
		t.Fatal(err)
	}
	if err := to.Complete("app", "1"); err != nil {
		t.Error(err)
	}
	if again := to.BlobBytesIn() - bigLayer - image.Config.Size; again > 64<<10 {
		t.Errorf("%d bytes were sent twice", again)
	}
	if _, refused := bodies(to); refused != 1 {
		t.Errorf("%d refusals, want 1", refused)
	}
}

// An upload of which only the rest is refused goes on in parts. The registry takes whole blobs.
func TestRestInParts(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t, registrytest.With(registrytest.Range416.At(4<<20)))
	copies := newCopies(t, transfer.Options{})
	image := bigImage(1)
	from.Push("app", "1", image)
	from.Push("app", "2", bigImage(2))
	to.FailTimes(1, func(r *http.Request) bool { return r.Method == http.MethodPut && r.ContentLength == bigLayer },
		registrytest.Fault{Cut: true, After: 1 << 20})
	for _, tag := range []string{"1", "2"} {
		if err := copies.run(from.Reference("app", tag), to.Reference("app", tag)); err != nil {
			t.Fatal(err)
		}
		if err := to.Complete("app", tag); err != nil {
			t.Error(err)
		}
	}
	if again := to.BlobBytesIn() - 2*(bigLayer+image.Config.Size); again > 64<<10 {
		t.Errorf("%d bytes were sent twice", again)
	}
	if patches := to.Count(http.MethodPatch, ""); patches != 1 {
		t.Errorf("%d PATCHes, want 1, of the first image", patches)
	}
}

// A registry that refuses every size is not asked for long.
func TestNoSizeIsSmallEnough(t *testing.T) {
	from, to := registrytest.New(t), registrytest.New(t, registrytest.With(registrytest.Request413.At(64<<10)))
	from.Push("app", "1", bigImage(1))
	err := newCopies(t, transfer.Options{}).run(from.Reference("app", "1"), to.Reference("app", "1"))
	refusal, ok := errors.AsType[*registry.SizeError](err)
	if !ok || refusal.Size != 1<<20 || refusal.Next != 0 {
		t.Fatalf("got %v, want that 1 MiB is refused", err)
	}
	if want := "or a proxy in front of it, refuses a request of 1048576 bytes; parts of fewer than 1048576 bytes are not tried"; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, refused := bodies(to); refused != 3 || len(to.Log()) > 20 {
		t.Errorf("%d refusals and %d requests, want 3 and at most 20", refused, len(to.Log()))
	}
}
