package blobs

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A blob whose images have ended is recalled in its repositories. One without a manifest is
// unverified.
func TestLocations(t *testing.T) {
	committed := &presence{committed: true}
	put := &presence{put: true, since: time.Now()}
	both := &presence{committed: true, put: true}
	unverified := &presence{committed: true, put: true, unverified: true}
	seen := &presence{since: time.Now()}
	for name, test := range map[string]struct {
		kept map[string]*presence
		want map[string]string
	}{
		"nowhere":                     {nil, map[string]string{}},
		"one repository":              {map[string]*presence{"a": both}, map[string]string{"a": "committed put"}},
		"mounted or found":            {map[string]*presence{"a": committed}, map[string]string{"a": "committed"}},
		"no manifest":                 {map[string]*presence{"a": put}, map[string]string{"a": "put unverified"}},
		"neither":                     {map[string]*presence{"a": seen}, map[string]string{"a": "unverified"}},
		"not there any more":          {map[string]*presence{"a": unverified}, map[string]string{}},
		"several repositories":        {map[string]*presence{"a": both, "b": committed, "c": put}, map[string]string{"a": "committed put", "b": "committed", "c": "put unverified"}},
		"gone from one of two":        {map[string]*presence{"a": unverified, "b": committed}, map[string]string{"b": "committed"}},
		"a repository without a name": {map[string]*presence{"": both}, map[string]string{"": "committed put"}},
	} {
		for _, d := range []digest.Digest{digest.FromString(name), digest.SHA512.FromString(name)} {
			t.Run(name+" "+d.Algorithm().String(), func(t *testing.T) {
				var l locations
				l.keep(digest.FromString("other"), map[string]*presence{"z": both})
				l.keep(d, test.kept)
				if got := wordsOf(l.recall(d)); !maps.Equal(got, test.want) {
					t.Errorf("recalls %v, want %v", got, test.want)
				}
				if got := wordsOf(l.recall(digest.FromString("other"))); !maps.Equal(got, map[string]string{"z": "committed put"}) {
					t.Errorf("recalls %v of the other blob", got)
				}
			})
		}
	}
}

func wordsOf(at map[string]*presence) map[string]string {
	words := map[string]string{}
	for repository, p := range at {
		text := ""
		for _, bit := range []struct {
			is   bool
			word string
		}{{p.committed, " committed"}, {p.put, " put"}, {p.unverified, " unverified"}} {
			if bit.is {
				text += bit.word
			}
		}
		words[repository] = text[min(1, len(text)):]
	}
	return words
}

// What is kept last replaces what was kept before, whichever way each was kept.
func TestLocationsAreReplaced(t *testing.T) {
	one := map[string]*presence{"a": {committed: true}}
	other := map[string]*presence{"b": {committed: true}}
	two := map[string]*presence{"a": {committed: true}, "b": {committed: true}}
	for _, d := range []digest.Digest{digest.FromString("x"), digest.SHA512.FromString("x")} {
		var l locations
		for n, kept := range []map[string]*presence{one, two, other, two, nil, two, one, nil, one} {
			l.keep(d, kept)
			want := slices.Sorted(maps.Keys(kept))
			if got := slices.Sorted(maps.Keys(l.recall(d))); !slices.Equal(got, want) {
				t.Errorf("%s, step %d: recalls %q, want %q", d.Algorithm(), n, got, want)
			}
			if sum := len(l.one) + len(l.many); sum > 1 {
				t.Errorf("%s, step %d: kept %d times", d.Algorithm(), n, sum)
			}
		}
	}
}

// heap is what is in use after a collection, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has only found to be dead
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// finished keeps n blobs in so many of 100 repositories each, and gives the bytes that one
// takes.
func finished(n, repositories int) (l *locations, bytesPerBlob float64) {
	l = &locations{}
	at := make([]map[string]*presence, 100)
	for r := range at {
		at[r] = map[string]*presence{}
		for k := range repositories {
			at[r][fmt.Sprint("team/app", (r+k)%len(at))] = &presence{committed: true, put: k == 0}
		}
	}
	before := heap()
	for i := range n {
		l.keep(digest.FromString(fmt.Sprint("blob", i)), at[i%len(at)])
	}
	return l, float64(heap()-before) / float64(n)
}

// maxBytesPerBlob is how many bytes a blob may take whose images have ended.
const maxBytesPerBlob = 100

// The memory of a finished blob is bounded, also where the map has just grown.
func TestFinishedBlobsAreSmall(t *testing.T) {
	for _, n := range []int{60_000, 100_000} {
		l, bytes := finished(n, 1)
		if bytes > maxBytesPerBlob {
			t.Errorf("a blob of %d takes %.0f bytes, want at most %d", n, bytes, maxBytesPerBlob)
		}
		runtime.KeepAlive(l)
	}
}

// BenchmarkFinishedBlobs is the memory of blobs whose images have ended.
func BenchmarkFinishedBlobs(b *testing.B) {
	for _, repositories := range []int{1, 2} {
		for _, n := range []int{100_000, 1_000_000} {
			b.Run(fmt.Sprintf("repositories=%d/blobs=%d", repositories, n), func(b *testing.B) {
				for b.Loop() {
					l, bytes := finished(n, repositories)
					b.ReportMetric(bytes, "bytes/blob")
					runtime.KeepAlive(l)
				}
			})
		}
	}
}
