package transfer

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/content/contenttest"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// onThisMachine makes all targets such as an image layout is: no transfer is behind them, and
// no client that waits for slots.
type onThisMachine struct{ *world }

func (o onThisMachine) OpenTarget(_ context.Context, ref reference.Reference) (content.Target, error) {
	return localWire{o.at(ref.Name())}, nil
}

type localWire struct{ *wire }

func (localWire) Rereadable() bool { return true }

// 200 images with the same blobs are ready for their manifests at the same moment. Each
// manifest that is being put into a layout has three files open: they are bounded by the write
// slots of the place, as those of blobs are.
func TestManifestsOfALocalPlaceTakeSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var jobs []Job
		layer := contenttest.NewLayer("x", 1000)
		for n := range 200 {
			manifest := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Annotations: map[string]string{"n": fmt.Sprint(n)}}
			contenttest.NewManifest(manifest, contenttest.JSON(ocispec.MediaTypeImageConfig, struct{}{}), layer).
				Push(t, w.at("a.test/app").MemoryRepository, fmt.Sprint(n))
			jobs = append(jobs, job(fmt.Sprintf("a.test/app:%d", n), fmt.Sprintf("b.test/app:%d", n)))
		}
		limiter := connections(8)
		slots := writeSlots(t, limiter)
		var puts sessions
		w.at("b.test/app").hold = func(ctx context.Context, what string, _ digest.Digest) error {
			if what != "put" {
				return nil
			}
			puts.begin()
			defer puts.end()
			return retry.Sleep(ctx, time.Second)
		}
		ok(t, run(t, New(onThisMachine{w}, Options{Limiter: limiter}), jobs...)...)
		if _, most := puts.counted(); most > slots {
			t.Errorf("%d manifests were put at once, want at most the %d write slots", most, slots)
		}
	})
}
