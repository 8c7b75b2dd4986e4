package mirror

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/internal/list"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// merge turns the sources of a configuration into one sequence of jobs.
type merge struct {
	selection *Selection
	scheduler *list.Scheduler
	listings  *listings
	retry     *retrying
	// explaining records why tags are selected or excluded.
	explaining bool
	// keepOpen: the results of jobs are reported, so that listings are kept until then.
	keepOpen bool
	// warned has the warnings about invalid names so far.
	warned map[string]bool
	// connect connects to the registry of a destination in the background; nil if that is not wanted.
	connect   func(reference.Reference)
	connected map[string]bool // registries
}

// newMerge returns the merge of a run, in which entries take turns, or of a plan, which keeps the order of the
// configuration.
func newMerge(s *Selection, fair bool) *merge {
	m := &merge{selection: s, keepOpen: fair, retry: newRetrying(s.Only), warned: map[string]bool{}, connected: map[string]bool{}}
	m.start(fair, func(f *list.Feed) bool { return !f.Entry.Unwanted && (m.retry == nil || m.retry.wants(f)) })
	s.listings.Store(m.listings)
	return m
}

func (m *merge) start(fair bool, wanted func(*list.Feed) bool) {
	s := m.selection
	m.listings = list.NewListings(s.Sources, !fair, func(source content.Source, reading *sync.WaitGroup) *ages {
		return newAges(source, s.Created, reading)
	})
	m.scheduler = list.NewScheduler(list.Options{
		Entries: s.Config.Entries, Fair: fair, Read: m.read, Listing: m.prepare, Wanted: wanted,
		Uses: m.listings, Patience: s.Patience, Draining: s.Draining,
	})
}

// prepare connects to the destinations of a feed, once to each registry, while the feed is listed.
func (m *merge) prepare(f *list.Feed) {
	if m.connect == nil || f.Unwanted || f.Source.Glob != "" || f.Entry.VerifyEvery > 1 { // most tags are not requested
		return
	}
	for _, to := range m.selection.wholeJob(f).Destinations {
		if to.IsRegistry() && to.Registry != f.Source.Reference.Registry && !m.connected[to.Registry] {
			m.connected[to.Registry] = true
			m.connect(to)
		}
	}
}

// jobs yields the jobs, once. An item that is not a job has an error.
func (m *merge) jobs(ctx context.Context, warn func(Warning)) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer m.wait()
		defer cancel()
		for f, ok := m.scheduler.Next(ctx); ok; f, ok = m.scheduler.Next(ctx) {
			if !m.give(f, warn, yield) {
				return
			}
		}
		if ctx.Err() == nil && !m.scheduler.Draining() {
			for _, w := range m.retry.missing() {
				warn(w)
			}
		}
	}
}

func (m *merge) wait() {
	m.scheduler.Wait()
	m.listings.Wait()
}

// give yields the next image of a feed and, before the first image, the warnings about the feed. It reports false
// when yield returns false.
func (m *merge) give(f *list.Feed, warn func(Warning), yield func(transfer.Job, error) bool) bool {
	switch {
	case f.First() && f.Unwanted: // it could not be listed, and may write a tag of a wanted source
		m.retry.again(f)
		m.scheduler.Take(f)
		warn(warningOf(f, f.Err, list.Name(f.Source)))
		return true
	case f.First():
		m.warn(f, warn)
		if f.Err != nil {
			m.retry.again(f)
			m.scheduler.Take(f)
			return yield(m.selection.wholeJob(f), f.Err)
		}
	}
	image, ok := m.scheduler.Take(f)
	if !ok {
		return true
	}
	source := f.Image(image)
	job := m.selection.job(f.Entry, source)
	job.RequireSource = job.RequireSource || f.Remote() // a tag that was listed a moment ago must be there
	if d, known := f.Resolved[source.Tag]; known {
		job.Resolved = &d
	}
	for i, to := range f.Entry.Destinations {
		target, err := to.Reference(source)
		if !m.retry.takes(f, source, target) {
			continue
		}
		again := false
		if err == nil {
			again, err = m.scheduler.Check(f, image, i, target)
		}
		switch {
		case again:
			warn(warningOf(f, fmt.Errorf("destination %s is listed twice; it is written once", target.Familiar()), source))
		case err != nil:
			refused := m.selection.job(f.Entry, source)
			refused.Destinations = []reference.Reference{target}
			if !yield(refused, err) {
				return false
			}
		default:
			job.Destinations = append(job.Destinations, target)
		}
	}
	if len(job.Destinations) == 0 {
		return true
	}
	if m.keepOpen {
		m.scheduler.Open(f, source)
	}
	return yield(job, nil)
}

func warningOf(f *list.Feed, err error, source reference.Reference) Warning {
	return Warning{f.Entry.Name, source, warning.Warning{Err: err}}
}

// warn yields the warnings about a source. Those about invalid names in a listing are yielded once in a run, because
// several sources may name one repository, and several patterns one registry.
func (m *merge) warn(f *list.Feed, warn func(Warning)) {
	invalid := func(f *list.Feed) {
		if f.Invalid == nil {
			return
		}
		lister := f.Source.Reference.WithoutIdentifier().Name()
		if f.Source.Glob != "" {
			lister = f.Source.Reference.Registry
		}
		if key := lister + ": " + f.Invalid.Error(); !m.warned[key] {
			m.warned[key] = true
			warn(warningOf(f, f.Invalid, list.Name(f.Source)))
		}
	}
	if f.FirstOf != nil {
		invalid(f.FirstOf)
	}
	invalid(f)
	for _, err := range f.Warnings {
		warn(warningOf(f, err, list.Name(f.Source)))
	}
}
