package transfer_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/transfer"
)

// Many streams share a small bandwidth, at either side. They use all of it, and their waits do not count as silence of a peer.
func TestBandwidthOfAFullWindow(t *testing.T) {
	const images, layer = 64, 300_000
	for _, limited := range []string{"docker.io", "mirror.test"} {
		for _, rate := range []int64{16 << 10, 128 << 10} {
			t.Run(fmt.Sprint(limited, " ", rate), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { bandwidthOfAFullWindow(t, limited, rate, images, layer) })
			})
		}
	}
}

func bandwidthOfAFullWindow(t *testing.T, limited string, rate int64, images int, layer int64) {
	t.Helper()
	b := newHubBench(t, 1000)
	for i := range images {
		b.add(fmt.Sprint("v", i), registrytest.Image(registrytest.ImageSpec{Seed: uint64(1000 + i), Layers: []registrytest.Layer{{Size: layer}}}))
	}
	limiter := limit.New(limit.Options{Rates: func(name string) (r limit.Rates) {
		if name == limited {
			r.Bandwidth.Otherwise = rate
		}
		return r
	}})
	client := registry.New(registry.Options{
		Dial: b.network.Dial, CertsDirs: []string{}, Limiter: limiter, Credentials: credentials{b.login},
		Hosts: func(string) registry.HostConfig {
			return registry.HostConfig{TLS: registry.TLSDisabled, Proxy: "direct"}
		},
	})
	defer client.Close()
	opener := backend.New(backend.Options{Registry: client})
	defer func() { _ = opener.Close() }()
	engine, began := transfer.New(opener, transfer.Options{Limiter: limiter, SpoolDir: t.TempDir()}), time.Now()
	if err := engine.Run(t.Context(), slices.Values(b.jobs), func(r *transfer.Result) {
		if r.Err() != nil {
			t.Error(r.Err())
		}
	}); err != nil {
		t.Error(err)
	}
	took, least := time.Since(began).Seconds(), float64(int64(images)*layer/rate)
	if took < least*0.95 || took > least*1.1 || engine.Counters.Resent.Load() > 0 {
		t.Errorf("took %.0f s, want about %.0f; %d bytes were sent twice", took, least, engine.Counters.Resent.Load())
	}
}
