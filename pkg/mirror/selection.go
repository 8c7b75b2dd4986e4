package mirror

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/mirror/internal/list"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// SourceOpener opens repositories whose tags are to be listed. A [transfer.Opener] is one.
type SourceOpener = list.Opener

// Catalog lists the repositories of registries.
type Catalog = list.Catalog

// The errors of sources and tags; see there.
type (
	// CatalogError reports that the repositories of a registry cannot be listed.
	CatalogError = list.CatalogError
	// NoRepositoryError reports a pattern that no repository of its registry matches.
	NoRepositoryError = list.NoRepositoryError
	// CollisionError reports a tag to which two different images would be written.
	CollisionError = conflict.CollisionError
	// UndecidedError reports an image that is deferred to the next run, because an earlier source, which may write to
	// the same tag, could not be listed.
	UndecidedError = conflict.UndecidedError
)

var _ SourceOpener = transfer.Opener(nil)

// Selection turns a configuration into jobs, for one run at a time. It must not be copied.
type Selection struct {
	Config  *config.Config
	Sources SourceOpener
	// Catalog lists repositories for entries with a pattern; nil lists none.
	Catalog Catalog
	// Created remembers the ages of images between runs; nil remembers nothing.
	Created AgeMemory
	// Only selects what an earlier run did not finish; nil selects everything.
	Only Retry
	// FailFast ends the run at the first failure: no new images start, and those in progress are deferred. The engine
	// needs its own [transfer.Options] FailFast, or it reports a failure with a temporary cause only after everything else has
	// ended.
	FailFast bool
	// Now returns the time from which ages are computed; time.Now if nil.
	Now func() time.Time
	// ForeignLayers copies non-distributable layers too.
	ForeignLayers bool
	// Patience is how long a run waits for a listing before it starts more listings, because some may hang; 2 s if
	// zero.
	Patience time.Duration
	// Draining, once it is closed, prevents new jobs from starting.
	Draining <-chan struct{}

	// listings are those of the run that began last.
	listings atomic.Pointer[listings]
}

// Warning is a problem of a source that does not stop the run.
type Warning struct {
	Entry  string
	Source reference.Reference
	warning.Warning
}

// listings also know the ages of images.
type listings = list.Listings[*ages]

// Jobs yields one job for each image, in the order of the configuration. A job with an error names the source or
// image that failed (a repository whose tags cannot be listed, a tag to which another image is written); the sequence
// continues. Jobs ends early, without an error, when ctx does. Warn is called between the jobs, never concurrently.
func (s *Selection) Jobs(ctx context.Context, warn func(Warning)) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		newMerge(s, false).jobs(ctx, warn)(yield)
	}
}

// AttachedTags returns the tags of a place that belong to images, if the selection's run has listed it and still
// needs the list. It is for [transfer.Options].
func (s *Selection) AttachedTags(place content.Location) (attached []string, listed bool) {
	if l := s.listings.Load(); l != nil {
		return l.Attached(place)
	}
	return nil, false
}

func (s *Selection) job(entry *config.Entry, image reference.Reference) transfer.Job {
	return transfer.Job{
		Entry: entry.Name, Source: image, Attestations: entry.Attestations, RequireSource: entry.RequireSource,
		Platforms: entry.Platforms, RequirePlatforms: entry.RequirePlatforms, IgnoreMissingPlatforms: entry.IgnoreMissingPlatforms,
		Referrers:         entry.Referrers.Bring,
		ReferrersOnCopy:   entry.Referrers.OnCopy && s.Only == nil, // what failed may be a referrer of an image that was copied
		ReferrersRequired: entry.Referrers.Required, ReferrerTypes: entry.Referrers.Types,
		Overwrite: entry.Overwrite, Immutable: matchesAny(entry.Immutable, image.Tag),
		VerifyEvery: entry.VerifyEvery, MaxSize: entry.MaxSize, Timeout: entry.Timeout,
		ForeignLayers: s.ForeignLayers,
	}
}

// wholeJob represents all images of a source whose images are not known. It always has a destination, so that its
// failure is counted.
func (s *Selection) wholeJob(f *list.Feed) transfer.Job {
	job := s.job(f.Entry, list.Name(f.Source))
	for _, to := range f.Entry.Destinations {
		// Any tag will do: it is removed again.
		target, err := to.Reference(f.Source.Sample().WithTag(conflict.Wild))
		repository := target.WithoutIdentifier()
		repository.Repository = strings.ReplaceAll(repository.Repository, conflict.Wild, "*")
		repository.Path = strings.ReplaceAll(repository.Path, conflict.Wild, "*")
		if err == nil && !slices.Contains(job.Destinations, repository) {
			job.Destinations = append(job.Destinations, repository)
		}
	}
	if len(job.Destinations) == 0 {
		job.Destinations = []reference.Reference{job.Source}
	}
	return job
}

func matchesAny(patterns []tags.Pattern, tag string) bool {
	return tag != "" && slices.ContainsFunc(patterns, func(p tags.Pattern) bool { return p.Match(tag) })
}
