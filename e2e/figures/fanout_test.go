package figures

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/regsync/regsync/e2e/lab"
)

func (b *bench) fanOut(t *testing.T) {
	origin := lab.StartRegistry(t, b.registry)
	source := lab.StartProxy(t, origin, 0)
	image := lab.Image(t, "linux/amd64", lab.Layer(t, 70, 64<<20))
	lab.Push(t, origin+"/team/app:1", image)
	args := []string{"copy", source.Host + "/team/app:1"}
	var destinations []*lab.Proxy
	for range 3 {
		proxy := lab.StartProxy(t, lab.StartRegistry(t, b.registry), 0)
		destinations = append(destinations, proxy)
		args = append(args, proxy.Host+"/team/app:1")
	}
	lab.NewShell(t, b.regsync).Regsync(t, args...)

	read := source.Take()
	exactly(t, b, "1 source, 3 destinations: blob bytes read, times the image", times(lab.BlobBytesRead(read), image), 1)
	var lastRead time.Time
	for _, e := range read {
		if e.Blob() && e.Done.After(lastRead) {
			lastRead = e.Done
		}
	}
	early := 0
	for _, destination := range destinations {
		if firstSent(destination.Take()).Before(lastRead) {
			early++
		}
		wantDigest(t, destination.Host+"/team/app:1", origin+"/team/app:1")
	}
	exactly(t, b, "1 source, 3 destinations: reached before the last byte was read", early, 3)
}

// firstSent is when the first byte of the layer was sent; the configuration is far smaller.
func firstSent(exchanges []lab.Exchange) time.Time {
	first := time.Now()
	for _, e := range exchanges {
		if e.Upload() && e.Sent > 1<<20 && e.FirstByte.Before(first) {
			first = e.FirstByte
		}
	}
	return first
}

func (b *bench) slowDestination(t *testing.T) {
	const fast, slow = 12 << 20, 12 << 20 / 10
	origin := lab.StartRegistry(t, b.registry)
	source := lab.StartProxy(t, origin, 0)
	const layer = 8 << 20
	image := lab.Image(t, "linux/amd64", lab.Layer(t, 80, layer), lab.Layer(t, 81, layer), lab.Layer(t, 82, layer))
	lab.Push(t, origin+"/team/app:1", image)
	shell := lab.NewShell(t, b.regsync)

	alone := lab.StartProxy(t, lab.StartRegistry(t, b.registry), fast)
	began := time.Now()
	shell.Regsync(t, "copy", source.Host+"/team/app:1", alone.Host+"/team/app:1")
	own := tagged(t, alone).Sub(began)
	source.Take()

	var fasts []*lab.Proxy
	args := []string{"copy", source.Host + "/team/app:1"}
	for range 2 {
		proxy := lab.StartProxy(t, lab.StartRegistry(t, b.registry), fast)
		fasts = append(fasts, proxy)
		args = append(args, proxy.Host+"/team/app:1")
	}
	last := lab.StartProxy(t, lab.StartRegistry(t, b.registry), slow)
	began = time.Now()
	shell.Regsync(t, append(args, last.Host+"/team/app:1")...)
	for _, proxy := range fasts {
		aimed(t, b, "beside a destination 10 times slower: time, times one's own", ratio(tagged(t, proxy).Sub(began), own), 1.1)
	}
	if slowest := tagged(t, last).Sub(began); slowest < 5*own {
		t.Errorf("the slow destination took %s, the others %s: it was not slow", slowest, own)
	}
	exactly(t, b, "beside a destination 10 times slower: blob bytes read, times the image", times(lab.BlobBytesRead(source.Take()), image), 1)
}

// tagged is when the tag was put.
func tagged(t *testing.T, proxy *lab.Proxy) time.Time {
	t.Helper()
	for _, e := range proxy.Take() {
		if e.Method == http.MethodPut && strings.HasSuffix(e.Path, "/manifests/1") && e.Status == http.StatusCreated {
			return e.Done
		}
	}
	t.Fatalf("%s was sent no tag", proxy.Host)
	return time.Time{}
}

// times is how often bytes are all blobs of an image.
func times(bytes int64, image v1.Image) float64 {
	manifest, err := image.Manifest()
	if err != nil {
		return math.NaN()
	}
	whole := manifest.Config.Size
	for _, layer := range manifest.Layers {
		whole += layer.Size
	}
	return float64(bytes) / float64(whole)
}

// ratio has two digits.
func ratio[N ~int64](a, b N) float64 { return float64(a*100/b) / 100 }
