package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/regsync/regsync/internal/registrytest"
)

// answerDelay is how late each answer comes, which is a round trip.
const answerDelay = 150 * time.Millisecond

func (n *nights) delay() {
	for _, side := range []*registrytest.Server{n.a, n.b} {
		side.Fail(func(*http.Request) *registrytest.Fault { return &registrytest.Fault{Delay: answerDelay} })
	}
}

func reportRoundTrips(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(answerDelay), "round-trips/run")
}

// BenchmarkNewImage measures the chain of round trips of one new index of two platforms: read it and its children, open uploads,
// send blobs, put the children, put the index.
func BenchmarkNewImage(b *testing.B) {
	for name, options := range map[string][]registrytest.Option{"tags": nil, "API": {registrytest.With(registrytest.ReferrersAPI)}} {
		b.Run(name, func(b *testing.B) {
			n := &nights{a: registrytest.New(b, options...), b: registrytest.New(b, options...), home: b.TempDir(), state: b.TempDir()}
			n.delay()
			images := 0
			for b.Loop() {
				b.StopTimer()
				n.a.Heal()
				tag := fmt.Sprint("v", images)
				amd := registrytest.Image(registrytest.ImageSpec{Seed: uint64(2 * images)})
				arm := registrytest.Image(registrytest.ImageSpec{Seed: uint64(2*images + 1)})
				n.a.Push("app", tag, registrytest.Index(registrytest.IndexSpec{}, amd, arm))
				n.delay()
				images++
				b.StartTimer()
				n.run(b, "copy", n.a.Host()+"/app:"+tag, n.b.Host()+"/app:"+tag, "-q")
			}
			reportRoundTrips(b)
		})
	}
}

// How many round trips in series a run with nothing to do takes: 20 repositories of 14 tags, each answer after a delay. Listings
// and tags are requested in parallel, so that the limit is how many requests a registry gets at a time.
func BenchmarkRunWithNothingToDo(b *testing.B) {
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
				n.delay()
				for b.Loop() {
					n.sync(b, entries, "-q")
				}
				reportRoundTrips(b)
			})
		}
	}
}
