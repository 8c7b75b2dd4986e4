package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
)

// How many round trips in series a run with nothing to do takes: 20 repositories of 14 tags, each answer after a delay. Listings
// and tags are requested in parallel, so that the limit is how many requests a registry gets at a time.
func BenchmarkRunWithNothingToDo(b *testing.B) {
	const delay = 150 * time.Millisecond
	for name, options := range map[string][]registrytest.Option{
		"tags": nil, "API": {registrytest.With(registrytest.ReferrersAPI)}, "tokens": {registrytest.WithTokens(registrytest.TokenConfig{})},
	} {
		for _, verify := range []string{"always", "sampled"} {
			b.Run(name+"/"+verify, func(b *testing.B) {
				n := &nights{a: registrytest.New(b, options...), b: registrytest.New(b, options...), home: b.TempDir(), state: b.TempDir()}
				entries := ""
				for r := range 20 {
					repository := fmt.Sprint("team/app", r)
					for i := range 14 {
						n.a.Push(repository, fmt.Sprint("v", i), registrytest.Image(registrytest.ImageSpec{Seed: uint64(1 + i)}))
					}
					entries += fmt.Sprintf("  - {from: '%s/%s', to: '%s/%s', verify: %s}\n", n.a.Host(), repository, n.b.Host(), repository, verify)
				}
				n.sync(b, entries, "-q")
				for _, side := range []*registrytest.Server{n.a, n.b} {
					side.Fail(func(*http.Request) *registrytest.Fault { return &registrytest.Fault{Delay: delay} })
				}
				for b.Loop() {
					n.sync(b, entries, "-q")
				}
				b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(delay), "round-trips/run")
			})
		}
	}
}
