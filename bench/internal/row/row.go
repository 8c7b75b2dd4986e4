// Package row has the rows of the benchmark, and measures them. Start with All and Runner.
package row

import (
	"time"

	"github.com/regsync/regsync/e2e/corpora"
	"github.com/regsync/regsync/e2e/storage"

	"github.com/regsync/regsync/bench/internal/link"
)

// Row is one piece of work under one set of conditions.
type Row struct {
	Name  string
	Title string
	// Corpus is the name of what is copied, one of corpus.
	Corpus string
	// Source and Destination are the links; without conditions they are the loopback.
	Source, Destination link.Conditions
	// Destinations is how many registries get a copy; 0 is one.
	Destinations int
	// Again: the destination has everything already, and a tool with a state has run once before.
	Again        bool
	TLS          bool
	RefuseMounts bool
	// RoundTrips is the length of the longest chain of dependent requests, for a tool that sends all others in parallel: see
	// docs/performance.md.
	RoundTrips int
	// Long says that one run takes minutes: it is run once unless a number of pairs was asked for.
	Long bool
	// MaxRequests is how many requests regsync may make at most, and MaxBytes how many bytes it may read and send, each as a
	// ratio to the row's limit. 0 is unlimited. Neither depends on time.
	MaxRequests int
	MaxBytes    float64
}

const megabyte = 1_000_000

// lineA is a line between continents, the same to both registries. slow is a source with a low rate for each connection, and
// fast the destination beside it.
var (
	lineA = link.Conditions{RoundTrip: 100 * time.Millisecond, PerConnection: 5 * megabyte, Total: 40 * megabyte}
	slow  = lineA
	fast  = link.Conditions{RoundTrip: 100 * time.Millisecond, PerConnection: 40 * megabyte, Total: 40 * megabyte}
)

// All are the rows, in the order of the table.
func All() []Row {
	return []Row{
		{Name: "team-loopback", Title: "*team*, loopback", Corpus: "team", MaxRequests: 3300, MaxBytes: 1.01},
		{Name: "team-line", Title: "*team*, line A", Corpus: "team", Source: lineA, Destination: lineA, RoundTrips: 8, MaxRequests: 3300, MaxBytes: 1.01},
		{Name: "team-again-line", Title: "*team* again, nothing to do, line A", Corpus: "team", Source: lineA, Destination: lineA, Again: true, RoundTrips: 3, MaxRequests: 600, MaxBytes: 1},
		{Name: "corpus-loopback", Title: "*corpus*, loopback", Corpus: "corpus", MaxRequests: 130, MaxBytes: 1.01},
		{Name: "corpus-no-mounts", Title: "*corpus*, loopback, the destination refuses mounts", Corpus: "corpus", RefuseMounts: true},
		{Name: "corpus-tls", Title: "*corpus*, loopback, TLS", Corpus: "corpus", TLS: true},
		{Name: "corpus-three", Title: "*corpus* to 3 registries, loopback", Corpus: "corpus", Destinations: 3},
		{Name: "corpus-slow", Title: "*corpus*, line B (slow source)", Corpus: "corpus", Source: slow, Destination: fast, RoundTrips: 5, Long: true},
		{Name: "huge-slow", Title: "*huge*, line B (slow source)", Corpus: "huge", Source: slow, Destination: fast, RoundTrips: 5, Long: true},
		{Name: "wide-200-again", Title: "*wide* with 200 tags, nothing to do, loopback", Corpus: "wide-200", Again: true, MaxRequests: 610, MaxBytes: 1},
		{Name: "wide-again", Title: "*wide*, nothing to do, loopback", Corpus: "wide", Again: true, MaxRequests: 4220, MaxBytes: 1},
		{Name: "deep-line", Title: "*deep*, line A", Corpus: "deep", Source: lineA, Destination: lineA, RoundTrips: 6},
	}
}

type corpus struct {
	fill func(*storage.Storage)
	// byTag says that the images are named by their tags. Otherwise the repositories are, and a tool lists their tags.
	byTag bool
}

func corpusOf(name string) (c corpus, ok bool) {
	c, ok = map[string]corpus{
		"team":     {fill: func(s *storage.Storage) { corpora.Team().Fill(s) }},
		"corpus":   {fill: corpora.Large, byTag: true},
		"huge":     {fill: corpora.Huge, byTag: true},
		"wide":     {fill: corpora.Wide(2000)},
		"wide-200": {fill: corpora.Wide(200)},
		"deep":     {fill: corpora.Deep},
	}[name]
	return c, ok
}

func (r Row) destinations() int { return max(r.Destinations, 1) }

// Limit is the least that any tool needs for a row.
type Limit struct {
	// Wall is the time of the unique bytes over the slower of the two links, plus that of the longest chain of round trips;
	// 0 on loopback.
	Wall       time.Duration
	Requests   int   // to all registries
	Read, Sent int64 // bytes of bodies, from and to all registries
}

func (r Row) limit(s *storage.Storage, byTag bool) Limit {
	f := corpora.FloorOf(s)
	if byTag {
		f.Listings = 0
	}
	n := r.destinations()
	l := Limit{
		Requests: f.Listings + f.Tags + f.Children + f.Blobs + n*(f.Tags+f.Children+2*f.Blobs+f.Mounts),
		Read:     f.BlobBytes + f.ManifestBytes,
		Sent:     int64(n) * (f.BlobBytes + f.ManifestBytes),
	}
	switch {
	case r.Again:
		l.Requests, l.Read, l.Sent = f.Listings+f.Tags+n*f.Tags, 0, 0
	case r.RefuseMounts:
		l.Requests += n * f.Mounts // opening an upload and sending takes two
		l.Sent = int64(n) * (blobsOfRepositories(s) + f.ManifestBytes)
	}
	if r.Source.Total > 0 && r.Destination.Total > 0 {
		seconds := max(float64(l.Read)/float64(r.Source.Total), float64(l.Sent)/float64(int64(n)*r.Destination.Total))
		l.Wall = time.Duration(seconds*float64(time.Second)) + time.Duration(r.RoundTrips)*r.Source.RoundTrip
	}
	return l
}

func blobsOfRepositories(s *storage.Storage) int64 {
	var sum int64
	for _, r := range s.Repositories {
		for _, size := range r.Blobs {
			sum += size
		}
	}
	return sum
}
