package figures

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/regsync/regsync/e2e/lab"
)

// cutSource: the source alone is cut, each time after another quarter of the blob.
func (b *bench) cutSource(t *testing.T) {
	const layer = 64 << 20
	l := b.line(t)
	image := lab.Image(t, "linux/amd64", lab.Layer(t, 940, layer))
	lab.Push(t, l.origin+"/cut/app:1", image)
	cuts := 0
	l.from.Spoil(func(body lab.Body) (lab.Fault, int64) {
		if body.Length < 1<<20 || cuts == 3 {
			return lab.Whole, 0
		}
		cuts++
		return lab.Break, layer / 4
	})
	lab.NewShell(t, b.regsync).Regsync(t, "copy", l.from.Host+"/cut/app:1", l.to.Host+"/cut/app:1")
	exactly(t, b, "one blob of 64 MiB, the source cut at 25, 50 and 75 %: cuts", cuts, 3)
	aimed(t, b, "… read", times(lab.BlobBytesRead(l.from.Take()), image), 1.01)
	aimed(t, b, "… sent", times(lab.BlobBytesSent(l.to.Take()), image), 1.01)
	lab.WantComplete(t, l.mirror.Host, "cut/app")
}

// badLine: requests are refused and bodies cut at random, on both sides.
func (b *bench) badLine(t *testing.T) {
	storage := lab.NewStorage(t)
	storage.SmallImages("app", 20, 14, 64<<10, 192<<10)
	run := func(spoil bool) (read, sent int64, took time.Duration) {
		l := b.lineFrom(t, storage)
		if spoil {
			for i, side := range []*lab.Proxy{l.from, l.to} {
				random := rand.New(rand.NewPCG(950, uint64(i)))
				side.Spoil(func(body lab.Body) (lab.Fault, int64) {
					if body.Manifest || body.Length < 0 || random.IntN(20) > 0 {
						return lab.Whole, 0
					}
					return lab.Break, random.Int64N(body.Length)
				})
				requests := rand.New(rand.NewPCG(951, uint64(i)))
				side.Refuse(func() int {
					if requests.IntN(20) > 0 {
						return 0
					}
					return []int{http.StatusServiceUnavailable, http.StatusTooManyRequests}[requests.IntN(2)]
				})
			}
		}
		shell := lab.NewShell(t, b.regsync)
		took = shell.Regsync(t, "sync", "-c", lab.MirrorAll(t, shell, storage, l.from.Host, l.to.Host, "")).Elapsed
		arrived := storage.WantTags(t, l.mirror.Host, nil)
		if spoil {
			exactly(t, b, "280 tags, 5 % of requests answered 503 or 429, 5 % of blobs cut, on both sides: tags that arrive", arrived, 280)
		}
		storage.WantComplete(t, l.mirror.Host)
		return lab.BlobBytesRead(l.from.Take()), lab.BlobBytesSent(l.to.Take()), took
	}
	read, sent, took := run(false)
	readAgain, sentAgain, tookLonger := run(true)
	aimed(t, b, "… read, times a run without faults", ratio(readAgain, read), 1.1)
	aimed(t, b, "… sent", ratio(sentAgain, sent), 1.1)
	b.noted("… time; without faults", fmt.Sprint(tookLonger.Round(100*time.Millisecond), "; ", took.Round(100*time.Millisecond)))
}

// flips: one byte of a tenth of the manifests and blobs that are read from the source is another.
func (b *bench) flips(t *testing.T) {
	storage := lab.NewStorage(t)
	storage.SmallImages("app", 10, 14, 16<<10, 64<<10)
	l := b.lineFrom(t, storage)
	random := rand.New(rand.NewPCG(955, 0))
	flipped, inARow := 0, map[string]int{}
	l.from.Spoil(func(body lab.Body) (lab.Fault, int64) {
		// regsync gives up what is wrong three times: one in a thousand would be.
		if random.IntN(10) > 0 || inARow[body.Name] == 2 {
			inARow[body.Name] = 0
			return lab.Whole, 0
		}
		inARow[body.Name]++
		flipped++
		return lab.Flip, random.Int64N(body.Length)
	})
	shell := lab.NewShell(t, b.regsync)
	shell.Regsync(t, "sync", "-c", lab.MirrorAll(t, shell, storage, l.from.Host, l.to.Host, ""))
	exactly(t, b, "10 % of downloads with one byte flipped: tags that arrive", storage.WantTags(t, l.mirror.Host, nil), 140)
	b.noted("… downloads flipped", flipped)
	storage.WantComplete(t, l.mirror.Host)
	exactly(t, b, "… blobs and manifests that arrive wrong", l.mirror.Wrong(t), 0)
}

// stall: one body stops for good, while its connection stays open.
func (b *bench) stall(t *testing.T) {
	var took [2]time.Duration
	for i := range took {
		l := b.line(t)
		lab.Push(t, l.origin+"/stalled/app:1", lab.Image(t, "linux/amd64", lab.Layer(t, 960, 16<<20), lab.Layer(t, 961, 16<<20)))
		stalls := 0
		l.from.Spoil(func(body lab.Body) (lab.Fault, int64) {
			if body.Length < 1<<20 || stalls == i {
				return lab.Whole, 0
			}
			stalls++
			return lab.Stall, body.Length / 2
		})
		took[i] = lab.NewShell(t, b.regsync).Regsync(t, "copy", l.from.Host+"/stalled/app:1", l.to.Host+"/stalled/app:1").Elapsed
		lab.WantComplete(t, l.mirror.Host, "stalled/app")
	}
	aimed(t, b, "a source that stalls with the socket open: seconds that it costs, with a limit of 10", (took[1] - took[0]).Round(100*time.Millisecond).Seconds(), 11)
}

// leftover: regsync is killed, but the rest of a body lies in buffers on its way and goes on arriving.
func (b *bench) leftover(t *testing.T) {
	l := b.line(t)
	lab.Push(t, l.origin+"/left/app:1", lab.Image(t, "linux/amd64", lab.Layer(t, 980, 2<<20)))
	l.to.Rate(100e3)
	shell := lab.NewShell(t, b.regsync)
	args := []string{"copy", l.from.Host + "/left/app:1", l.to.Host + "/left/app:1"}
	first := shell.Start(t, "", args...)
	l.mirror.Await(t, "*/*/_uploads/*/data", 1)
	time.Sleep(3 * time.Second)
	first.Signal(t, syscall.SIGKILL)
	first.Wait(t)
	second := shell.Start(t, "", args...)
	time.Sleep(2 * time.Second)
	l.to.Rate(1e6)
	if ended := second.Wait(t); ended.Code != 0 {
		t.Errorf("exit code %d\n%s", ended.Code, ended.Stderr)
	}
	exactly(t, b, "killed and started again, while the rest of a body is in buffers on its way: tags that arrive", lab.WantComplete(t, l.mirror.Host, "left/app"), 1)
	aimed(t, b, "… sent", ratio(lab.BlobBytesSent(l.to.Take()), 2<<20), 1.05)
}

// line is a source and a destination, each behind a proxy.
type line struct {
	origin   string // the source itself
	mirror   *lab.Registry
	from, to *lab.Proxy
}

func (b *bench) line(t *testing.T) *line {
	t.Helper()
	return b.lineFrom(t, lab.NewStorage(t))
}

func (b *bench) lineFrom(t *testing.T, storage *lab.Storage) *line {
	t.Helper()
	l := &line{origin: storage.Serve(t, b.registry), mirror: lab.NewRegistry(t, b.registry)}
	l.from, l.to = lab.StartProxy(t, l.origin, 0), lab.StartProxy(t, l.mirror.Host, 0)
	return l
}
