package mirror

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
	"github.com/regsync/regsync/pkg/transfer/warning"
)

// SourceOpener opens repositories whose tags are to be listed. A [transfer.Opener] is one.
type SourceOpener interface {
	OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error)
}

var _ SourceOpener = transfer.Opener(nil)

// Selection turns a configuration into jobs, for one run at a time. It is not to be copied.
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
	// is deferred. The engine needs its own [transfer.Options] FailFast, or it tells a failure
	// whose cause may pass only when all else has ended.
	FailFast bool
	// Now is what ages are counted back from; time.Now if nil.
	Now func() time.Time
	// ForeignLayers copies non-distributable layers too.
	ForeignLayers bool
	// Patience is how long nothing may become ready before a run lists more at a time, as
	// some listings hang; 2 s if zero.
	Patience time.Duration
	// Draining, once it is closed, keeps jobs from being begun.
	Draining <-chan struct{}

	// listings are those of the run that began last.
	listings atomic.Pointer[listings]
}

// Warning is what a person should know of a source. It stops nothing.
type Warning struct {
	Entry  string
	Source reference.Reference
	warning.Warning
}

func stated(entry string, source reference.Reference, text string) Warning {
	return Warning{entry, source, warning.Warning{Err: errors.New(text)}}
}

// Jobs yields one job for each image, in the order of the configuration. With an error, the
// job names what could not be made into images (a repository whose tags cannot be listed, a
// tag that another image is written to); the others follow. Jobs ends early, without an
// error, when ctx does. Warn is called between the jobs, never concurrently.
func (s *Selection) Jobs(ctx context.Context, warn func(Warning)) iter.Seq2[transfer.Job, error] {
	return func(yield func(transfer.Job, error) bool) {
		s.merge(false).jobs(ctx, warn)(yield)
	}
}

// AttachedTags gives those tags of a place that belong to images, if a selection's run has
// listed it and still needs the list. It is for [transfer.Options].
func (s *Selection) AttachedTags(place content.Location) (attached []string, listed bool) {
	if l := s.listings.Load(); l != nil {
		return l.attachedTags(place)
	}
	return nil, false
}

func (s *Selection) job(entry *config.Entry, image reference.Reference) transfer.Job {
	return transfer.Job{
		Entry: entry.Name, Source: image,
		Platforms: entry.Platforms, RequirePlatforms: entry.RequirePlatforms, OmitAttestations: entry.OmitAttestations,
		Referrers:         entry.Referrers.Bring,
		ReferrersOnCopy:   entry.Referrers.OnCopy && s.Only == nil, // what failed may be a referrer of an image that was copied
		ReferrersRequired: entry.Referrers.Required, ReferrerTypes: entry.Referrers.Types,
		Overwrite: entry.Overwrite, Immutable: matchesAny(entry.Immutable, image.Tag),
		VerifyEvery: entry.VerifyEvery, MaxSize: entry.MaxSize, Timeout: entry.Timeout,
		ForeignLayers: s.ForeignLayers,
	}
}

// wholeJob stands for all images of a source that is not known image by image.
func (s *Selection) wholeJob(f *feed) transfer.Job {
	job := s.job(f.entry, named(f.source))
	for _, to := range f.entry.Destinations {
		// Any tag will do: it is taken off again.
		target, err := to.Reference(sample(f.source).WithTag(wild))
		repository := unsample(target.WithoutIdentifier())
		if err == nil && !slices.Contains(job.Destinations, repository) {
			job.Destinations = append(job.Destinations, repository)
		}
	}
	return job
}

func matchesAny(patterns []tags.Pattern, tag string) bool {
	return tag != "" && slices.ContainsFunc(patterns, func(p tags.Pattern) bool { return p.Match(tag) })
}
