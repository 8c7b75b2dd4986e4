package blobs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/limit"
)

// goneAmid is a source that goes down in the middle of a body, and refuses connections until it is up again.
type goneAmid struct {
	*counted
	limiter *limit.Limiter
	after   int64 // bytes
	back    time.Time
	asked   int // while it is down
}

func (g *goneAmid) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	body, err := g.counted.FetchBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(body, g.after), readerFunc(func([]byte) (int, error) {
		for item := range 5 {
			g.limiter.Report(limit.Answer{Peer: g.peer(), Item: fmt.Sprint(item), Err: syscall.ECONNREFUSED})
		}
		return 0, syscall.ECONNRESET
	})), body}, nil
}

func (g *goneAmid) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	if time.Now().Before(g.back) {
		g.asked++
		g.limiter.Report(limit.Answer{Peer: g.peer(), Item: "range", Err: syscall.ECONNREFUSED})
		return nil, syscall.ECONNREFUSED
	}
	g.limiter.Report(limit.Answer{Peer: g.peer(), Item: "range", Status: 206})
	return g.counted.FetchBlobRange(ctx, d, offset, length)
}

func (g *goneAmid) peer() limit.Peer { return limit.Peer{Registry: g.Location().Registry} }

// The destination's body stays open while the source is down, for a minute at most: many registries drop an
// upload that is cut. The source is tested like any registry that is down.
func TestSourceThatGoesDownAmidABody(t *testing.T) {
	for _, test := range []struct {
		away    time.Duration
		uploads int
		asked   int
	}{
		{15 * time.Second, 1, 15},
		{90 * time.Second, 2, 40},
	} {
		t.Run(test.away.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				layer := contenttest.NewLayer("x", 1<<20)
				to := b.at(t, "b.test", "app")
				from := &goneAmid{
					counted: b.at(t, "a.test", "app", layer), limiter: b.options.Limiter,
					after: 600 << 10, back: time.Now().Add(test.away),
				}
				uploads := 0
				to.fail = func(what string) error {
					if what == "commit" {
						uploads++
					}
					return nil
				}
				d := b.Open(1, Origin{Source: from}, Place{Target: to})
				d.Need(layer.Descriptor)
				_, err := d.Wait(t.Context(), layer.Descriptor)
				d.Release(err == nil, false)
				if err != nil {
					t.Fatal(err)
				}
				if got := read(t, to, layer); !bytes.Equal(got, layer.Bytes) {
					t.Errorf("%d bytes arrived, which are not those of the blob", len(got))
				}
				if uploads != test.uploads || from.asked == 0 || from.asked > test.asked {
					t.Errorf("%d uploads, and %d requests while the source was down, want %d and at most %d",
						uploads, from.asked, test.uploads, test.asked)
				}
				b.Close()
			})
		})
	}
}
