package state

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// BenchmarkNothingToDo is what a run over ten thousand unchanged tags asks of the memory.
func BenchmarkNothingToDo(b *testing.B) {
	const tags = 10_000
	path := b.TempDir() + "/state.db"
	children := slices.Repeat([]digest.Digest{sum("child")}, 16)
	m := Open(path, Options{})
	for i := range tags {
		index := sum(fmt.Sprint(i))
		m.KeepSelected(index, "linux/amd64,linux/arm64", descriptor("rewritten"), nil)
		m.KeepChildren(index, children)
		m.KeepCopied(fmt.Sprint("docker.io/library/nginx:", i), fmt.Sprint("mirror.example/nginx:", i), index)
		if i%batch == batch-1 {
			m.writer.flush()
		}
	}
	m.Close()
	for b.Loop() {
		m := Open(path, Options{Warn: func(text string) { b.Error(text) }})
		for i := range tags {
			index := sum(fmt.Sprint(i))
			_, _, selected := m.Selected(index, "linux/amd64,linux/arm64")
			_, indexed := m.Children(index)
			_, _, copied := m.Copied(fmt.Sprint("docker.io/library/nginx:", i), fmt.Sprint("mirror.example/nginx:", i))
			if !selected || !indexed || !copied {
				b.Fatalf("%d is forgotten", i)
			}
		}
		m.Close()
	}
}

// BenchmarkMemoryOfARun is the heap of a run that learns where fifty thousand blobs are.
func BenchmarkMemoryOfARun(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := Open(b.TempDir()+"/state.db", Options{Warn: func(text string) { b.Error(text) }})
		for i := range 50_000 {
			m.KeepLocation("registry.example", fmt.Sprint("team/app", i%100), sum(fmt.Sprint(i)))
			if i%batch == batch-1 {
				m.writer.flush()
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-min(before.HeapAlloc, after.HeapAlloc)), "heap-B")
		m.Close()
	}
}

func BenchmarkOpenAndClose(b *testing.B) {
	path := b.TempDir() + "/state.db"
	for b.Loop() {
		Open(path, Options{}).Close()
	}
}

// BenchmarkPrune looks through tables that are full.
func BenchmarkPrune(b *testing.B) {
	path := b.TempDir() + "/state.db"
	m := Open(path, Options{})
	for i := range remembered.locations {
		m.KeepLocation("registry.example", fmt.Sprint("team/app", i%100), sum(fmt.Sprint(i)))
		if i%batch == batch-1 {
			m.writer.flush()
		}
	}
	defer m.Close()
	for b.Loop() {
		if err := prune(b.Context(), m.writer.db, m.run, remembered); err != nil {
			b.Fatal(err)
		}
	}
}
