package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
)

// How many round trips in series a run with nothing to do takes: 20 repositories of 14 tags, each answer after a delay. The lists
// and questions go side by side; what limits them is how many requests a registry gets at a time. Once the requests to a referrers API
// went one by one: 219 round trips.
func TestRoundTripsOfANoOpRun(t *testing.T) {
	const delay = 150 * time.Millisecond
	for name, options := range map[string][]registrytest.Option{
		"tags": nil, "API": {registrytest.With(registrytest.ReferrersAPI)}, "tokens": {registrytest.WithTokens(registrytest.TokenConfig{})},
	} {
		for _, verify := range []string{"always", "sampled"} {
			t.Run(name+" "+verify, func(t *testing.T) {
				n := &nights{a: registrytest.New(t, options...), b: registrytest.New(t, options...), home: t.TempDir(), state: t.TempDir()}
				entries := ""
				for r := range 20 {
					repository := fmt.Sprint("team/app", r)
					for i := range 14 {
						n.a.Push(repository, fmt.Sprint("v", i), registrytest.Image(registrytest.ImageSpec{Seed: uint64(1 + i)}))
					}
					entries += fmt.Sprintf("  - {from: '%s/%s', to: '%s/%s', verify: %s}\n", n.a.Host(), repository, n.b.Host(), repository, verify)
				}
				n.sync(t, entries, "-q")
				for _, side := range []*registrytest.Server{n.a, n.b} {
					side.Fail(func(*http.Request) *registrytest.Fault { return &registrytest.Fault{Delay: delay} })
				}
				began := time.Now()
				source, destination := n.sync(t, entries, "-q")
				trips := float64(time.Since(began)) / float64(delay)
				t.Logf("%.1f round trips for %d requests to the source and %d to the destination", trips, source, destination)
				if trips > 60 { // on a busy machine; otherwise 9 to 15
					t.Errorf("%.1f round trips in series, want at most 60", trips)
				}
			})
		}
	}
}
