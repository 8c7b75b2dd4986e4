package mirror_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"

	"github.com/regsync/regsync/pkg/mirror"
	"github.com/regsync/regsync/pkg/transfer"
)

// instant is an engine that finds everything right at once.
type instant struct{}

func (instant) Run(ctx context.Context, jobs iter.Seq[transfer.Job], done func(*transfer.Result)) error {
	for job := range jobs {
		result := &transfer.Result{Job: job}
		for _, to := range job.Destinations {
			result.Destinations = append(result.Destinations, transfer.DestinationResult{Reference: to, Action: transfer.ActionUnchanged})
		}
		done(result)
	}
	return context.Cause(ctx)
}

// many is n tags in 20 repositories, or fewer; contested ones may be written twice.
func many(n int, contested bool) (string, *shelf) {
	var b strings.Builder
	b.WriteString("defaults: {to: 'a.b/{{.Base}}'}\nsync:\n")
	sources := &shelf{tags: map[string][]string{}}
	for i := range 20 {
		name := fmt.Sprintf("quay.io/r%02d", i)
		sources.tags[name] = tagsOf(n / 20)
		fmt.Fprintf(&b, "  - {name: r%02d, from: %s}\n", i, name)
		if contested {
			fmt.Fprintf(&b, "  - {name: t%02d, from: 'quay.io/r%02d:x', to: 'a.b/r%02d'}\n", i, i, i)
		}
	}
	return b.String(), sources
}

// BenchmarkNothingToDo is what the mirror itself costs for each tag: the time, what it
// allocates, and what it holds at the end of the run.
func BenchmarkNothingToDo(b *testing.B) {
	for _, contested := range []bool{false, true} {
		for _, n := range []int{100, 1000, 10_000} {
			b.Run(fmt.Sprintf("contested=%v/tags=%d", contested, n), func(b *testing.B) {
				text, sources := many(n, contested)
				cfg := load(b, text)
				var held uint64
				b.ReportAllocs()
				for b.Loop() {
					held = runHeld(b, &mirror.Selection{Config: cfg, Sources: sources}, n)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/tag")
				b.ReportMetric(float64(held)/float64(n), "held-B/tag")
			})
		}
	}
}

// runHeld runs a selection and reports how many bytes the heap has grown by at its last job.
func runHeld(b *testing.B, selection *mirror.Selection, n int) uint64 {
	b.Helper()
	var before, after runtime.MemStats
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.StartTimer()
	results := 0
	ended, err := runFor(b.Context(), instant{}, selection, func(*transfer.Result) {
		if results++; results == n {
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.StartTimer()
		}
	})
	if err != nil || ended.Right() < n {
		b.Fatalf("%d are right, %v", ended.Right(), err)
	}
	if after.HeapAlloc < before.HeapAlloc {
		return 0
	}
	return after.HeapAlloc - before.HeapAlloc
}

// BenchmarkNextJob is what choosing the next job costs, with that many entries of one tag each:
// of images that are named, of repositories that are listed, and of images that all go to one
// repository. The time for a job does not grow with the number of entries.
func BenchmarkNextJob(b *testing.B) {
	for _, kind := range []struct{ name, from, to string }{
		{"named", "'quay.io/r%d:v0000'", "a.b/r%d"}, {"listed", "quay.io/r%d", "a.b/r%d"}, {"together", "'quay.io/r%d:v0000'", "'a.b/all:r%d'"},
	} {
		for _, n := range []int{1000, 10_000} {
			b.Run(fmt.Sprintf("%s/entries=%d", kind.name, n), func(b *testing.B) {
				text := strings.Builder{}
				text.WriteString("sync:\n")
				sources := &shelf{tags: map[string][]string{}}
				for i := range n {
					sources.tags[fmt.Sprintf("quay.io/r%d", i)] = tagsOf(1)
					fmt.Fprintf(&text, "  - {name: e%d, from: "+kind.from+", to: "+kind.to+"}\n", i, i, i)
				}
				cfg := load(b, text.String())
				for b.Loop() {
					ended, err := runFor(b.Context(), instant{}, &mirror.Selection{Config: cfg, Sources: sources}, nil)
					if err != nil || ended.Right() != n {
						b.Fatalf("%d are right, %v", ended.Right(), err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/job")
			})
		}
	}
}
