package mirror

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/tags"
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
	// Catalog lists repositories, where an entry names them by a pattern; nil lists none.
	Catalog Catalog
	// Created remembers the ages of images between runs; nil remembers nothing.
	Created AgeMemory
	// Only takes what an earlier run has left undone; nil takes everything.
	Only Retry
	// FailFast ends the run at the first failure: nothing new begins, and what is under way
	// is deferred.
	FailFast bool
	// Now is what ages are counted back from; time.Now if nil.
	Now func() time.Time
	// ForeignLayers copies non-distributable layers too.
	ForeignLayers bool
	// Patience is how long the order of the configuration is kept while a repository is
	// slow to list; afterwards those behind it go first. Zero keeps the order always.
	Patience time.Duration
}

// Warning is what a person should know of a source. It stops nothing.
type Warning struct {
	Entry  string
	Source reference.Reference
	Text   string
}

// Jobs yields one job for each image, in the order of the configuration. With an error, the
// job names what could not be made into images (a repository whose tags cannot be listed, a
// tag that another image is written to); the others follow. Jobs ends early, without an
// error, when ctx does. Warn is called between the jobs, never concurrently.
func (s *Selection) Jobs(ctx context.Context, warn func(Warning)) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		claims := newClaims(s.Config)
		for l := range s.listings(ctx) {
			if ctx.Err() != nil {
				return
			}
			if l.err != nil {
				if !yield(s.repositoryJob(l.wanted), l.err) {
					return
				}
				continue
			}
			for _, text := range l.warnings {
				warn(Warning{l.entry.Name, l.source.Reference, text})
			}
			for _, image := range l.images() {
				for job, err := range s.jobs(l.entry, image, claims, warn) {
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
func (s *Selection) jobs(entry *config.Entry, image reference.Reference, claims *claims, warn func(Warning)) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		job := s.job(entry, image)
		for _, to := range entry.Destinations {
			target, err := to.Reference(image)
			if err == nil {
				var again bool
				again, err = claims.take(target, entry, image)
				if again {
					warn(Warning{entry.Name, image, fmt.Sprintf("asked for to %s twice; it is done once", target.Familiar())})
					continue
				}
			}
			if err != nil {
				refused := s.job(entry, image)
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

func (s *Selection) job(entry *config.Entry, image reference.Reference) transfer.Job {
	return transfer.Job{
		Entry: entry.Name, Source: image,
		Platforms: entry.Platforms, RequirePlatforms: entry.RequirePlatforms,
		Referrers: entry.Referrers.Bring, ReferrersOnCopy: entry.Referrers.OnCopy, ReferrerTypes: entry.Referrers.Types,
		Overwrite: entry.Overwrite, Immutable: matches(entry.Immutable, image.Tag),
		MaxSize: entry.MaxSize, Timeout: entry.Timeout,
		ForeignLayers: s.ForeignLayers,
	}
}

// repositoryJob stands for all images of a repository whose tags are not known.
func (s *Selection) repositoryJob(w wanted) transfer.Job {
	job := s.job(w.entry, w.source.Reference)
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

func matches(patterns []tags.Pattern, tag string) bool {
	return tag != "" && slices.ContainsFunc(patterns, func(p tags.Pattern) bool { return p.Match(tag) })
}
