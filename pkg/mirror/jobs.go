package mirror

import (
	"context"
	"fmt"
	"iter"

	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// jobs yields the jobs of a merge, once. What is not a job comes with its error.
func (m *merge) jobs(ctx context.Context, warn func(Warning)) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer m.listings.reading.Wait()
		defer m.reading.Wait()
		defer cancel()
		for f, ok := m.next(ctx); ok; f, ok = m.next(ctx) {
			if !m.give(f, warn, yield) {
				return
			}
		}
		if ctx.Err() == nil && !m.draining() {
			for _, w := range m.retry.missing() {
				warn(w)
			}
		}
	}
}

// give yields the next image of a feed, and before the first one what there is to tell. It
// reports false when yield wants no more.
func (m *merge) give(f *feed, warn func(Warning), yield func(transfer.Job, error) bool) bool {
	if f.next == 0 {
		if f.firstOf != nil {
			m.warnInvalid(f.firstOf, warn)
		}
		m.warnInvalid(f, warn)
		for _, text := range f.warnings {
			warn(stated(f.entry.Name, named(f.source), text))
		}
		if f.err != nil {
			m.retry.again(f)
			m.take(f)
			return yield(m.selection.wholeJob(f), f.err)
		}
	}
	i, ok := m.take(f)
	if !ok {
		return true
	}
	job, collisions := m.job(f, i, warn)
	for _, c := range collisions {
		if !yield(c.job, c.err) {
			return false
		}
	}
	if len(job.Destinations) == 0 {
		return true
	}
	m.open(f, job)
	return yield(job, nil)
}

// warnInvalid warns of the invalid names in the listing of a feed, once in a run: several
// sources may name one repository, and several patterns one registry.
func (m *merge) warnInvalid(f *feed, warn func(Warning)) {
	if f.invalid == nil {
		return
	}
	lister := f.repository().Name()
	if f.source.Glob != "" {
		lister = f.source.Reference.Registry
	}
	text := f.invalid.Error()
	if key := lister + ": " + text; !m.warned[key] {
		m.warned[key] = true
		warn(stated(f.entry.Name, named(f.source), text))
	}
}

// collision is a job for what an image may not be written to.
type collision struct {
	job transfer.Job
	err error
}

// job is the job of one image, and apart from it those destinations that it may not be
// written to.
func (m *merge) job(f *feed, image int, warn func(Warning)) (job transfer.Job, collisions []collision) {
	job = m.selection.job(f.entry, f.image(image))
	if d, known := f.resolved[job.Source.Tag]; known {
		job.Resolved = &d
	}
	for to := range f.entry.Destinations {
		target, err := m.target(claim{f, image, to}, warn)
		switch {
		case err != nil:
			refused := m.selection.job(f.entry, job.Source)
			refused.Destinations = []reference.Reference{target}
			collisions = append(collisions, collision{refused, err})
		case !target.IsZero():
			job.Destinations = append(job.Destinations, target)
		}
	}
	return job, collisions
}

// target is where an image goes by one destination; zero if it is not wanted there, or goes
// there already.
func (m *merge) target(c claim, warn func(Warning)) (reference.Reference, error) {
	image := c.source()
	target, err := c.feed.entry.Destinations[c.to].Reference(image)
	if !m.retry.takes(c.feed, image, target) {
		return reference.Reference{}, nil
	}
	if err != nil {
		return target, err
	}
	again, err := m.check(c, target)
	if again {
		warn(stated(c.feed.entry.Name, image, fmt.Sprintf("the configuration copies it to %s twice; it is copied once", target.Familiar())))
		return reference.Reference{}, nil
	}
	return target, err
}

func (m *merge) check(c claim, target reference.Reference) (again bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.claims.check(c, target)
}
