package blobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
)

// counted is a repository whose requests are counted, and may fail.
type counted struct {
	*contenttest.MemoryRepository
	// fail is the answer to "fetch", "mount", "start" and "commit"; nil answers well.
	fail func(what string) error
	// refuse is the answer to a commit after its body; nil answers well.
	refuse func() error

	mu    sync.Mutex
	asked int
}

func (c *counted) ask(what string) error {
	c.mu.Lock()
	c.asked++
	c.mu.Unlock()
	if c.fail == nil {
		return nil
	}
	return c.fail(what)
}

func (c *counted) times() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

func (c *counted) Rereadable() bool { return false }

func (c *counted) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	if err := c.ask("fetch"); err != nil {
		return nil, err
	}
	return c.MemoryRepository.FetchBlob(ctx, d)
}

func (c *counted) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	if err := c.ask("mount"); err != nil {
		return nil, err
	}
	upload, err := c.MemoryRepository.Mount(ctx, d, from)
	if upload == nil {
		return nil, err
	}
	return countedUpload{upload, c}, err
}

func (c *counted) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	if err := c.ask("start"); err != nil {
		return nil, err
	}
	upload, err := c.MemoryRepository.StartUpload(ctx, d)
	return countedUpload{upload, c}, err
}

type countedUpload struct {
	content.Upload
	counted *counted
}

func (u countedUpload) Commit(ctx context.Context, s *content.Stream) error {
	if err := u.counted.ask("commit"); err != nil {
		return err
	}
	if u.counted.refuse != nil {
		if err := u.counted.refuse(); err != nil {
			_, _ = io.Copy(io.Discard, s) // a refusal says nothing about the body
			return err
		}
	}
	return u.Upload.Commit(ctx, s)
}

// failureLog is an Observer that keeps only the ends of blobs.
type failureLog struct {
	mu   sync.Mutex
	ends []error
}

type noProgress struct{}

func (noProgress) Add(int64) {}

func (*failureLog) BlobStarted(reference.Reference, content.Descriptor, int64, int64) Progress {
	return noProgress{}
}
func (*failureLog) BytesRead(int64, int64)                   {}
func (*failureLog) BytesSent(int64, int64)                   {}
func (*failureLog) StreamEnded(time.Duration, time.Duration) {}
func (*failureLog) UploadLost(string)                        {}

func (*failureLog) BlobRetrying(reference.Reference, content.Descriptor, int, time.Duration, error) {}

func (o *failureLog) BlobDone(_ reference.Reference, _ content.Descriptor, _ Outcome, _ string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends = append(o.ends, err)
}

// sided says which side an error is of.
type sided struct {
	side string
	error
}

func (s sided) Unwrap() error { return s.error }

// bench has a queue, and registries in memory.
type bench struct {
	*Queue
	observer   *failureLog
	registries map[string]*contenttest.Memory
	orders     int64
}

var errDraining = errors.New("draining")

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{observer: &failureLog{}, registries: map[string]*contenttest.Memory{}}
	side := func(name string) func(reference.Reference, error) error {
		return func(_ reference.Reference, err error) error { return sided{name, err} }
	}
	b.Queue = New(t.Context(), Options{
		Limiter: limit.New(limit.Options{}), Spools: spool.NewPool(t.TempDir(), 1<<20, 1<<20), Observer: b.observer,
		Draining: errDraining, AtSource: side("source"), AtDestination: side("destination"),
	})
	return b
}

// at is a repository, with some blobs.
func (b *bench) at(t *testing.T, registry, repository string, blobs ...contenttest.Blob) *counted {
	t.Helper()
	if b.registries[registry] == nil {
		b.registries[registry] = contenttest.NewMemory(registry)
	}
	c := &counted{MemoryRepository: b.registries[registry].Repository(repository)}
	for _, blob := range blobs {
		blob.Push(t, c.MemoryRepository)
	}
	return c
}

// bring brings blobs from one place to another, for a delivery of their own, and releases it.
func (b *bench) bring(t *testing.T, from, to *counted, blobs ...contenttest.Blob) error {
	t.Helper()
	d := b.delivery(from, to)
	var all []content.Descriptor
	for _, blob := range blobs {
		all = append(all, blob.Descriptor)
	}
	d.Need(all...)
	_, err := d.Wait(t.Context(), all...)
	d.Release(err == nil, false)
	return err
}

func (b *bench) delivery(from, to *counted) *Delivery {
	b.orders++
	return b.Open(b.orders, Origin{Source: from}, Place{Target: to})
}

// requireSide fails the test unless err is want, at that side.
func requireSide(t *testing.T, err error, side string, want error) {
	t.Helper()
	if s, said := errors.AsType[sided](err); !said || s.side != side || !errors.Is(err, want) {
		t.Errorf("got %v, want %v of the %s", err, want, side)
	}
}

// answer is the status of a registry.
type answer int

func (a answer) Error() string   { return http.StatusText(int(a)) }
func (a answer) HTTPStatus() int { return int(a) }

// always fails all requests of some kind.
func always(what string, err error) func(string) error {
	return func(asked string) error {
		if asked == what {
			return err
		}
		return nil
	}
}

// A blob that a registry refuses for what it is fails for later images at once, in any
// repository of the registry, by the same cause.
func TestFailureOfAnItemIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		blob, other := contenttest.NewLayer("x", 100), contenttest.NewLayer("y", 100)
		from := b.at(t, "a.test", "app", blob, other)
		first, second := b.at(t, "b.test", "first"), b.at(t, "b.test", "second")
		first.fail = always("commit", answer(http.StatusRequestEntityTooLarge))
		requireSide(t, b.bring(t, from, first, blob), "destination", answer(http.StatusRequestEntityTooLarge))
		asked := from.times() + first.times()
		requireSide(t, b.bring(t, from, first, blob), "destination", answer(http.StatusRequestEntityTooLarge))
		requireSide(t, b.bring(t, from, second, blob), "destination", answer(http.StatusRequestEntityTooLarge))
		if got := from.times() + first.times() + second.times() - asked; got != 0 {
			t.Errorf("%d requests for what is known to fail", got)
		}
		if err := b.bring(t, from, second, other); err != nil {
			t.Errorf("another blob: %v", err)
		}
		if err := b.bring(t, from, b.at(t, "c.test", "app"), blob); err != nil {
			t.Errorf("another registry: %v", err)
		}
		b.Close()
		if len(b.observer.ends) != 5 {
			t.Errorf("the ends of %d blobs were told, want 5", len(b.observer.ends))
		}
	})
}

// A source that does not have a blob is not asked for it again; an image with another source
// still brings it.
func TestOriginThatCannotGiveABlob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		blob := contenttest.NewLayer("x", 100)
		lacks, has, to := b.at(t, "a.test", "lacks"), b.at(t, "a.test", "has", blob), b.at(t, "b.test", "app")
		for range 3 {
			requireSide(t, b.bring(t, lacks, to, blob), "source", content.ErrNotFound)
		}
		if got := lacks.times(); got != 1 {
			t.Errorf("the source was asked %d times, want once", got)
		}
		if err := b.bring(t, has, to, blob); err != nil {
			t.Errorf("another source: %v", err)
		}
		b.Close()
	})
}

// The failures that are kept are bounded, and so are the origins that cannot give a blob.
func TestFailuresAreBounded(t *testing.T) {
	b := newBench(t)
	from, to := b.at(t, "a.test", "app"), b.at(t, "b.test", "app")
	r := b.registry(Place{Target: to})
	b.lock()
	defer b.unlock()
	for n := range maxFailures + 100 {
		blob := content.Descriptor{Digest: digest.FromString(fmt.Sprint(n)), Size: 1}
		it := &item{blob: blob, registry: r}
		b.keep(it, &failure{side: atDestination, err: answer(http.StatusBadRequest)})
		s := &supply{queue: b.Queue, blob: blob, failedReads: map[content.Location]int{}}
		s.dropOrigin(&failure{side: atSource, origin: Origin{Source: from}, err: content.ErrNotFound})
	}
	if len(b.failures) > maxFailures || len(b.origins) > maxFailures {
		t.Errorf("%d failures and %d origins are kept, want at most %d each", len(b.failures), len(b.origins), maxFailures)
	}
}

// When all else has ended, what failed for a passing cause gets one more attempt, and what
// failed for good does not.
func TestForgive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		passing, lasting := contenttest.NewLayer("passing", 100), contenttest.NewLayer("lasting", 100)
		from := b.at(t, "a.test", "app", passing, lasting)
		broken, refuses := b.at(t, "b.test", "app"), b.at(t, "c.test", "app")
		broken.fail = always("mount", answer(http.StatusBadGateway))
		refuses.fail = always("commit", answer(http.StatusBadRequest))
		bring := func() (atBroken, atRefuses int) {
			before := [2]int{broken.times(), refuses.times()}
			requireSide(t, b.bring(t, from, broken, passing), "destination", answer(http.StatusBadGateway))
			requireSide(t, b.bring(t, from, refuses, lasting), "destination", answer(http.StatusBadRequest))
			return broken.times() - before[0], refuses.times() - before[1]
		}
		if first, _ := bring(); first != 8 {
			t.Errorf("%d attempts, want 8", first)
		}
		if again, refused := bring(); again != 0 || refused != 0 {
			t.Errorf("%d and %d requests before all else has ended", again, refused)
		}
		b.ResetFailures()
		if again, refused := bring(); again != 1 || refused != 0 {
			t.Errorf("%d and %d requests in the last attempt, want 1 and none", again, refused)
		}
		broken.fail = nil
		b.ResetFailures()
		if err := b.bring(t, from, broken, passing); err != nil {
			t.Errorf("a registry that works again: %v", err)
		}
		b.Close()
	})
}

// What is wrong with a repository or a registry is known for all blobs that go there, also for
// those that wait, and for no others.
func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		full bool // the whole registry
		// takes is the time of an answer: others are asked meanwhile if the first one takes longer than a trial.
		takes time.Duration
	}{
		"denied":       {content.ErrDenied, false, 2 * trialTimeout},
		"unauthorized": {content.ErrUnauthorized, false, trialTimeout / 2},
		"no such name": {content.ErrNotFound, false, 2 * trialTimeout},
		"disk full":    {syscall.ENOSPC, true, trialTimeout / 2},
		"quota":        {syscall.EDQUOT, true, 2 * trialTimeout},
		"read-only":    {syscall.EROFS, true, trialTimeout / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				var blobs []contenttest.Blob
				for n := range 100 {
					blobs = append(blobs, contenttest.NewLayer(fmt.Sprint(n), 100))
				}
				from := b.at(t, "a.test", "app", blobs...)
				to, beside, elsewhere := b.at(t, "b.test", "app"), b.at(t, "b.test", "beside"), b.at(t, "c.test", "app")
				var answered, late atomic.Int64
				to.fail = func(what string) error {
					late.Add(min(1, answered.Load()))
					time.Sleep(test.takes)
					answered.Add(1)
					return always("mount", test.err)(what)
				}
				requireSide(t, b.bring(t, from, to, blobs...), "destination", test.err)
				synctest.Wait()
				if alone := test.takes < trialTimeout; late.Load() != 0 || (to.times() == 1) != alone {
					t.Errorf("%d requests, %d of them after the refusal; want one alone: %v", to.times(), late.Load(), alone)
				}
				known := b.delivery(from, to)
				requireSide(t, known.Refused(), "destination", test.err)
				known.Release(false, false)
				asked := to.times()
				requireSide(t, b.bring(t, from, to, contenttest.NewLayer("later", 100)), "destination", test.err)
				if got := to.times() - asked; got != 0 {
					t.Errorf("%d requests for a later blob", got)
				}
				if err := b.bring(t, from, elsewhere, blobs[0]); err != nil {
					t.Errorf("another registry: %v", err)
				}
				switch err := b.bring(t, from, beside, blobs[1]); {
				case test.full:
					requireSide(t, err, "destination", test.err)
				case err != nil:
					t.Errorf("another repository: %v", err)
				}
				b.Close()
			})
		})
	}
}

// A manifest that is denied says the same of the repository; one that refers to what is not
// there does not.
func TestRefusedManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		blob := contenttest.NewLayer("x", 100)
		from, to := b.at(t, "a.test", "app", blob), b.at(t, "b.test", "app")
		d := b.delivery(from, to)
		defer d.Release(false, false)
		d.Refuse(fmt.Errorf("manifest: %w", content.ErrNotFound))
		if err := d.Refused(); err != nil {
			t.Errorf("a manifest that lacks something: %v", err)
		}
		d.Refuse(fmt.Errorf("manifest: %w", content.ErrDenied))
		requireSide(t, d.Refused(), "destination", content.ErrDenied)
		requireSide(t, b.bring(t, from, to, blob), "destination", content.ErrDenied)
		if got := to.times(); got != 0 {
			t.Errorf("%d requests to a repository that is denied", got)
		}
	})
}

// A drain ends what waits for slots and what waits for its next attempt, and lets blobs go on
// that have begun.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var blobs []contenttest.Blob
		for n := range 60 {
			blobs = append(blobs, contenttest.NewLayer(fmt.Sprint(n), 100))
		}
		from, to, broken := b.at(t, "a.test", "app", blobs...), b.at(t, "b.test", "app"), b.at(t, "c.test", "app")
		to.fail = func(what string) error {
			if what == "commit" {
				time.Sleep(time.Minute)
			}
			return nil
		}
		broken.fail = always("mount", answer(http.StatusBadGateway))
		started := time.Now()
		moving, waiting, retried := b.delivery(from, to), b.delivery(from, to), b.delivery(from, broken)
		descriptors := func(blobs []contenttest.Blob) (all []content.Descriptor) {
			for _, blob := range blobs {
				all = append(all, blob.Descriptor)
			}
			return all
		}
		retried.Need(descriptors(blobs[:1])...)
		synctest.Wait()
		moving.Need(descriptors(blobs[:18])...) // the read slots that one of two destinations gets
		time.Sleep(50 * time.Millisecond)       // they stand in line before the others
		synctest.Wait()
		waiting.Need(descriptors(blobs[18:])...)
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		b.Drain()
		for d, wanted := range map[*Delivery][]contenttest.Blob{waiting: blobs[18:], retried: blobs[:1]} {
			if _, err := d.Wait(t.Context(), descriptors(wanted)...); !errors.Is(err, errDraining) {
				t.Errorf("what waits ended with %v, want %v", err, errDraining)
			}
		}
		if took := time.Since(started); took > time.Second {
			t.Errorf("the drain took %v", took)
		}
		if moved, err := moving.Wait(t.Context(), descriptors(blobs[:18])...); err != nil || !moved {
			t.Errorf("what moves ended with %v", err)
		}
		if got := b.delivery(from, to); got != nil {
			got.Need(blobs[50].Descriptor)
			if _, err := got.Wait(t.Context(), blobs[50].Descriptor); !errors.Is(err, errDraining) {
				t.Errorf("what comes after a drain ended with %v, want %v", err, errDraining)
			}
			got.Release(false, false)
		}
		for _, d := range []*Delivery{moving, waiting, retried} {
			d.Release(false, true)
		}
		b.Close()
		if got := b.Pending(); got != 0 {
			t.Errorf("%d blobs are held", got)
		}
	})
}

// A registry answers 416 to a whole blob if it has bytes of a request that broke and was repeated.
// The blob is sent again in another session.
func TestSessionThatHasBytesIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		layer := contenttest.NewLayer("x", 1000)
		from, to := b.at(t, "a.test", "app", layer), b.at(t, "b.test", "app")
		refused := 0
		to.refuse = func() error {
			if refused++; refused > 1 {
				return nil
			}
			return answer(http.StatusRequestedRangeNotSatisfiable)
		}
		if err := b.bring(t, from, to, layer); err != nil {
			t.Error(err)
		}
		if got := read(t, to, layer); !bytes.Equal(got, layer.Bytes) {
			t.Errorf("%d bytes arrived, which are not those of the blob", len(got))
		}
	})
}
