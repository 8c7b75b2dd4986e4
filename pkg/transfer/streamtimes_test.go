package transfer_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
	"github.com/regsync/regsync/pkg/backend"
	"github.com/regsync/regsync/pkg/backend/registry"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// The counters tell whether the source or the destination has the slower line. Small blobs tell nothing of it.
func TestTimesOfStreams(t *testing.T) {
	const slow, fast = 1 << 20, 1 << 30
	for name, test := range map[string]struct {
		size, source, destination int64
		reading, writing          bool // most of the time
	}{
		"slow source":      {8 << 20, slow, fast, true, false},
		"slow destination": {8 << 20, fast, slow, false, true},
		"small blobs":      {100 << 10, slow, slow, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &registrytest.Network{}
				from := registrytest.New(t, registrytest.In(network, "from.test"), registrytest.Slow(test.source))
				registrytest.New(t, registrytest.In(network, "to.test"), registrytest.Slow(test.destination))
				from.Push("app", "1", registrytest.Image(registrytest.ImageSpec{Layers: []registrytest.Layer{{Size: test.size}}}))
				client := registry.New(registry.Options{Dial: network.Dial, CertsDirs: []string{}, Hosts: func(string) registry.HostConfig {
					return registry.HostConfig{TLS: registry.TLSDisabled, Proxy: "direct"}
				}})
				defer client.Close()
				opener := backend.New(backend.Options{Registry: client})
				defer func() { _ = opener.Close() }()
				job := transfer.Job{
					Source:       reference.Reference{Transport: reference.Registry, Registry: "from.test", Repository: "app", Tag: "1"},
					Destinations: []reference.Reference{{Transport: reference.Registry, Registry: "to.test", Repository: "app", Tag: "1"}},
				}
				engine, began := transfer.New(opener, transfer.Options{SpoolDir: t.TempDir()}), time.Now()
				err := engine.Run(t.Context(), slices.Values([]transfer.Job{job}), func(*transfer.Result) {})
				if err != nil {
					t.Fatal(err)
				}
				half := time.Since(began) / 2
				reading, writing := time.Duration(engine.Counters.Reading.Load()), time.Duration(engine.Counters.Writing.Load())
				if (reading > half) != test.reading || (writing > half) != test.writing {
					t.Errorf("%v reading and %v writing of %v", reading, writing, 2*half)
				}
			})
		})
	}
}
