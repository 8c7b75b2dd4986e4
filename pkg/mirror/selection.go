package mirror

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// SourceOpener opens repositories whose tags are to be listed. A [transfer.Opener] is one.
type SourceOpener interface {
	OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error)
}

var _ SourceOpener = transfer.Opener(nil)

// Selection turns a configuration into jobs.
type Selection struct {
	Config  *config.Config
	Sources SourceOpener
	// Warn is told what a person should know: an entry's name, and a text. It is called by
	// one goroutine at a time, and may be nil.
	Warn func(entry, text string)
	// Patience is how long the order of the configuration is kept while a repository is
	// slow to list; afterwards those behind it go first. Zero keeps the order always.
	Patience time.Duration
}

// Jobs yields one job for each image, in the order of the configuration. With an error, the
// job names what could not be made into images (a repository whose tags cannot be listed, a
// tag that another image is written to); the others follow. Jobs ends early, without an
// error, when ctx does.
func (s *Selection) Jobs(ctx context.Context) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		claims := newClaims(s.Config)
		for l := range s.listings(ctx) {
			if ctx.Err() != nil {
				return
			}
			if l.err != nil {
				if !yield(repositoryJob(l.wanted), l.err) {
					return
				}
				continue
			}
			for _, text := range l.warnings {
				s.warn(l.entry.Name, text)
			}
			for _, image := range l.images() {
				for job, err := range s.jobs(l.entry, image, claims) {
					if !yield(job, err) {
						return
					}
				}
			}
		}
	}
}

// jobs yields the job of one image and, apart from it, those destinations that it may not
// be written to.
func (s *Selection) jobs(entry *config.Entry, image reference.Reference, claims *claims) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		job := newJob(entry, image)
		for _, to := range entry.Destinations {
			target, err := to.Reference(image)
			if err == nil {
				var again bool
				again, err = claims.take(target, entry, image)
				if again {
					s.warn(entry.Name, fmt.Sprintf("%s to %s is asked for twice; it is done once", image.Familiar(), target.Familiar()))
					continue
				}
			}
			if err != nil {
				refused := newJob(entry, image)
				refused.Destinations = []reference.Reference{target}
				if !yield(refused, err) {
					return
				}
				continue
			}
			job.Destinations = append(job.Destinations, target)
		}
		if len(job.Destinations) > 0 {
			yield(job, nil)
		}
	}
}

func newJob(entry *config.Entry, image reference.Reference) transfer.Job {
	return transfer.Job{Entry: entry.Name, Source: image, Platforms: entry.Platforms, Referrers: entry.Referrers}
}

// repositoryJob stands for all images of a repository whose tags are not known.
func repositoryJob(w wanted) transfer.Job {
	job := newJob(w.entry, w.source.Reference)
	for _, to := range w.entry.Destinations {
		// Any tag will do: it is taken off again.
		target, err := to.Reference(w.source.Reference.WithTag("latest"))
		repository := target.WithoutIdentifier()
		if err == nil && !slices.Contains(job.Destinations, repository) {
			job.Destinations = append(job.Destinations, repository)
		}
	}
	return job
}

func (s *Selection) warn(entry, text string) {
	if s.Warn != nil {
		s.Warn(entry, text)
	}
}
