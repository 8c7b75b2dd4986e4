package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
)

// committer is a place that takes all bytes of each upload, and answers a commit with what commit returns.
type committer struct {
	*counted
	offset  func(size int64) (int64, error)
	commit  func(n int) error
	commits []time.Duration // since began
	from    []int64
	began   time.Time
}

type commitUpload struct {
	content.Upload
	to   *committer
	size int64
}

var _ content.ResumableUpload = commitUpload{}

func (c *committer) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	u, err := c.MemoryRepository.StartUpload(ctx, d)
	return commitUpload{u, c, d.Size}, err
}

func (u commitUpload) Session() string                       { return "session" }
func (u commitUpload) Cancel(context.Context) error          { return nil }
func (u commitUpload) Offset(context.Context) (int64, error) { return u.to.offset(u.size) }

func (u commitUpload) Commit(ctx context.Context, s *content.Stream) error {
	return u.CommitFrom(ctx, 0, s)
}

func (u commitUpload) CommitFrom(_ context.Context, offset int64, s *content.Stream) error {
	u.to.commits = append(u.to.commits, time.Since(u.to.began))
	u.to.from = append(u.to.from, offset)
	_, _ = io.Copy(io.Discard, s)
	return u.to.commit(len(u.to.commits))
}

// A place has all bytes and never says that it has committed them: each commit, and the next upload, comes only when the
// one before has had its time.
func TestCommitsDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		layer := contenttest.NewLayer("x", 100<<20)
		from := b.at(t, "a.test", "app", layer)
		to := &committer{counted: b.at(t, "b.test", "app"), began: time.Now()}
		to.offset = func(size int64) (int64, error) { return size, nil }
		to.commit = func(n int) error {
			if n < 4 {
				return syscall.ECONNRESET
			}
			layer.Push(t, to.MemoryRepository)
			return nil
		}
		b.deliver(t, from, to, layer)
		for i, at := range to.commits[1:] {
			if after := at - to.commits[i]; after < commitTime(layer.Descriptor) {
				t.Errorf("request %d at byte %d came %v after the one before", i+1, to.from[i+1], after)
			}
		}
	})
}

// outcomes are those of a queue's blobs.
type outcomes struct {
	failureLog
	all []Outcome
}

func (o *outcomes) BlobDone(_ reference.Reference, _ content.Descriptor, outcome Outcome, _ string, _ error) {
	o.all = append(o.all, outcome)
}

// The answer to a commit is lost, and the commit is late: the session ends with it, which says nothing about broken
// uploads. The blob was sent.
func TestLateCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		observed := &outcomes{}
		b.options.Observer = observed
		to := &committer{counted: b.at(t, "b.test", "app"), offset: func(int64) (int64, error) { return 0, content.ErrNotFound }}
		for i := range 3 {
			layer := contenttest.NewLayer(strconv.Itoa(i), 3<<20)
			to.commit = func(int) error {
				time.AfterFunc(50*time.Millisecond, func() { layer.Push(t, to.MemoryRepository) })
				return syscall.ECONNRESET
			}
			d := b.Open(1, Origin{Source: b.at(t, "a.test", "app", layer)}, Place{Target: to})
			d.Need(layer.Descriptor)
			if _, err := d.Wait(t.Context(), layer.Descriptor); err != nil {
				t.Error(err)
			}
			d.Release(true, false)
			time.Sleep(2 * lostApart)
		}
		for _, r := range b.Queue.registries {
			if r.name == "b.test" && r.cut.verdict == no {
				t.Error("the registry counts as one that does not keep broken uploads")
			}
		}
		for _, outcome := range observed.all {
			if outcome != Sent {
				t.Errorf("outcomes %v, want all sent", observed.all)
				break
			}
		}
		b.Close()
	})
}

// A 416 to a whole blob is not about an offset that the registry has stated.
func TestWholeBlobSaysNothingAboutRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		layer := contenttest.NewLayer("x", 1000)
		from, to := b.at(t, "a.test", "app", layer), b.at(t, "b.test", "app")
		refused := false
		to.refuse = func() error {
			if refused {
				return nil
			}
			refused = true
			return coded{answer(http.StatusRequestedRangeNotSatisfiable)}
		}
		if err := b.bring(t, from, to, layer); err != nil {
			t.Error(err)
		}
		for _, r := range b.Queue.registries {
			if r.ranges.losses > 0 {
				t.Errorf("%s: %d wrong ranges", r.name, r.ranges.losses)
			}
		}
	})
}

type coded struct{ answer }

func (coded) ErrorCode() string { return "RANGE_INVALID" }

// A source goes down in mid-body, and another one has the blob: it is used at once, and the upload stays open.
func TestOtherOriginOfASourceThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		layer := contenttest.NewLayer("x", 1<<20)
		to := b.at(t, "b.test", "app")
		from := &goneAmid{counted: b.at(t, "a.test", "app", layer), limiter: b.options.Limiter, after: 600 << 10, back: time.Now().Add(time.Hour)}
		other := b.at(t, "c.test", "app", layer)
		commits := 0
		to.fail = func(what string) error {
			if what == "commit" {
				commits++
			}
			return nil
		}
		begin := time.Now()
		first := b.Open(1, Origin{Source: from}, Place{Target: to})
		second := b.Open(2, Origin{Source: other}, Place{Target: to})
		for _, d := range []*Delivery{first, second} {
			d.Announce(layer.Descriptor)
		}
		for _, d := range []*Delivery{first, second} {
			d.Need(layer.Descriptor)
		}
		if _, err := first.Wait(t.Context(), layer.Descriptor); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 2*upEvery || commits > 1 {
			t.Errorf("took %v and %d uploads", took, commits)
		}
		first.Release(true, false)
		second.Release(true, false)
		b.Close()
	})
}

// While the source of a spool is down, a write slot goes to a blob of another source.
func TestSpoolLeavesWriteSlotsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.options.Limiter = limit.New(limit.Options{MaxConnections: func(string) int { return 3 }})
		layer, small := contenttest.NewLayer("x", 900<<10), contenttest.NewLayer("y", 1000)
		to, second := b.at(t, "b.test", "app"), b.at(t, "z.test", "app")
		from := &goneAmid{counted: b.at(t, "a.test", "app", layer), limiter: b.options.Limiter, after: 600 << 10, back: time.Now().Add(time.Hour)}
		var spooled []*Delivery
		for _, target := range []*counted{to, second} {
			d := b.Open(1, Origin{Source: from}, Place{Target: target})
			d.Announce(layer.Descriptor)
			spooled = append(spooled, d)
		}
		spooled[0].Need(layer.Descriptor)
		time.Sleep(2 * time.Second)
		d := b.Open(2, Origin{Source: b.at(t, "c.test", "app", small)}, Place{Target: to})
		d.Need(small.Descriptor)
		begin := time.Now()
		if _, err := d.Wait(t.Context(), small.Descriptor); err != nil || time.Since(begin) > 5*time.Second {
			t.Errorf("the blob of another source took %v: %v", time.Since(begin), err)
		}
		d.Release(true, false)
		for _, d := range spooled {
			d.Release(false, true)
		}
		b.Close()
	})
}

// A proxy takes the whole body and passes on a part of it: the commit is never answered, and the upload goes on where the
// registry says.
func TestUnansweredCommitOfAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		layer := contenttest.NewLayer("x", 60<<20)
		from := b.at(t, "a.test", "app", layer)
		to := &committer{counted: b.at(t, "b.test", "app"), began: time.Now()}
		to.offset = func(int64) (int64, error) { return 20 << 20, nil }
		to.commit = func(n int) error {
			if n == 1 {
				return fmt.Errorf("timed out after 1m0s waiting for a response: %w", content.ErrUnconfirmed)
			}
			layer.Push(t, to.MemoryRepository)
			return nil
		}
		b.deliver(t, from, to, layer)
		if took := time.Since(to.began); took > time.Minute || len(to.from) != 2 || to.from[1] != 20<<20 {
			t.Errorf("took %v, with uploads from the bytes %v", took, to.from)
		}
	})
}

// deliver delivers a layer, and closes the queue.
func (b *bench) deliver(t *testing.T, from content.Source, to content.Target, layer contenttest.Blob) {
	t.Helper()
	d := b.Open(1, Origin{Source: from}, Place{Target: to})
	d.Need(layer.Descriptor)
	if _, err := d.Wait(t.Context(), layer.Descriptor); err != nil {
		t.Error(err)
	}
	d.Release(true, false)
	b.Close()
}

// breaking is a source whose body ends with an error that comes together with the last bytes.
type breaking struct{ *counted }

func (b breaking) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	body, err := b.counted.FetchBlob(ctx, d)
	return breakingBody{body, d.Size}, err
}

type breakingBody struct {
	io.ReadCloser
	size int64
}

func (b breakingBody) Read(p []byte) (int, error) {
	n, err := io.ReadFull(b.ReadCloser, p[:min(int64(len(p)), b.size)])
	if err == nil {
		err = content.ErrDenied
	}
	return n, err
}

// io.ReadFull drops an error that comes with the last bytes that it wants: the next read used a body that was closed.
func TestErrorWithTheLastBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{1, 1000, 32 << 10, 32<<10 + 1, 64 << 10, 100_000} {
			b := newBench(t)
			layer := contenttest.NewLayer("x", size)
			from, to := breaking{b.at(t, "a.test", "app", layer)}, b.at(t, "b.test", "app")
			d := b.Open(1, Origin{Source: from}, Place{Target: to})
			d.Need(layer.Descriptor)
			if _, err := d.Wait(t.Context(), layer.Descriptor); !errors.Is(err, content.ErrDenied) {
				t.Errorf("%d bytes: got %v, want the source's refusal", size, err)
			}
			d.Release(false, false)
			b.Close()
		}
	})
}
