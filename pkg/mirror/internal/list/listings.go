// Package list lists the sources of a configuration, and decides their order.
//
// Start at [Scheduler], which decides which source is listed next and which one gives the next job. [Listings] lists
// each repository once, however many sources name it, and [Matches] is the repositories that a pattern finds.
package list

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/glob"
	"github.com/regsync/regsync/pkg/reference"
)

// maxTags limits a listing, because a registry may send any number of tags.
const maxTags = 1_000_000

// Opener opens repositories whose tags are to be listed.
type Opener interface {
	OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error)
}

// Listings lists each repository once in a run, however many sources name it, and keeps the list until no source
// needs it. A is additional data about a repository, such as the ages of its images.
type Listings[A any] struct {
	sources Opener
	about   func(source content.Source, reading *sync.WaitGroup) A
	// keep keeps the tags that belong to images until the end, if ends of jobs are not reported.
	keep    bool
	reading sync.WaitGroup
	flights flight.Group[content.Location, *Tags[A]]

	mu    sync.Mutex
	uses  map[reference.Reference]int
	at    map[reference.Reference]content.Location
	named map[content.Location]int // how many of at are there
	lists map[content.Location]*Tags[A]
}

// Tags is the tags of a repository.
type Tags[A any] struct {
	Names    []string
	Attached []string                   // those that belong to images
	Invalid  *content.InvalidNamesError // nil if all listed tags are valid
	About    A

	err error
}

// NewListings returns listings of a run. About is called once for each repository that is listed; what it starts is
// counted in reading.
func NewListings[A any](sources Opener, keep bool, about func(source content.Source, reading *sync.WaitGroup) A) *Listings[A] {
	return &Listings[A]{
		sources: sources, about: about, keep: keep, uses: map[reference.Reference]int{},
		at: map[reference.Reference]content.Location{}, named: map[content.Location]int{}, lists: map[content.Location]*Tags[A]{},
	}
}

// Expect announces a source with images of a repository. If the repository is listed, the list is kept for it.
func (l *Listings[A]) Expect(repository reference.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses[repository]++
}

// Release withdraws an expectation. After the last one, the list is dropped.
func (l *Listings[A]) Release(repository reference.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses[repository]--; l.uses[repository] > 0 {
		return
	}
	delete(l.uses, repository)
	place, listed := l.at[repository]
	if !listed {
		return
	}
	delete(l.at, repository)
	if l.named[place]--; l.named[place] > 0 {
		return
	}
	delete(l.named, place)
	if l.keep && l.lists[place] != nil {
		l.lists[place].Names = nil
	} else {
		delete(l.lists, place)
	}
}

// Attached returns the tags of a place that belong to images, if it was listed.
func (l *Listings[A]) Attached(place content.Location) (attached []string, listed bool) {
	list := l.kept(place)
	if list == nil || list.err != nil {
		return nil, false
	}
	return list.Attached, true
}

func (l *Listings[A]) kept(place content.Location) *Tags[A] {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists[place]
}

// Wait waits for the background listings.
func (l *Listings[A]) Wait() { l.reading.Wait() }

// List returns the tags of a repository. Several callers share one listing, which continues as long as one of them
// waits.
func (l *Listings[A]) List(ctx context.Context, repository reference.Reference) (*Tags[A], error) {
	source, err := l.sources.OpenSource(ctx, repository)
	if err != nil {
		return nil, err
	}
	lister, ok := source.(content.TagLister)
	if !ok {
		return nil, fmt.Errorf("tags cannot be listed, so name one: %w", content.ErrUnsupported)
	}
	place := source.Location()
	l.mu.Lock()
	if _, known := l.at[repository]; !known {
		l.at[repository] = place
		l.named[place]++
	}
	list := l.lists[place]
	l.mu.Unlock()
	if list == nil {
		list, _, err = l.flights.Do(ctx, &l.reading, place, func(ctx context.Context) (*Tags[A], error) {
			if list := l.kept(place); list != nil { // since a moment ago
				return list, nil
			}
			list := &Tags[A]{About: l.about(source, &l.reading)}
			list.read(ctx, lister)
			l.mu.Lock()
			defer l.mu.Unlock()
			if ctx.Err() == nil { // otherwise no caller has waited for its end: it is not whole
				l.lists[place] = list
			}
			return list, context.Cause(ctx)
		})
	}
	if err != nil {
		return nil, err
	}
	return list, list.err
}

// read returns all tags or none, because a part of a list would look complete.
func (t *Tags[A]) read(ctx context.Context, lister content.TagLister) {
	var names, attached []string
	for tag, err := range lister.Tags(ctx) {
		invalid, failure := content.SplitInvalidNames(err)
		if failure != nil {
			t.err = fmt.Errorf("list tags: %w", failure)
			return
		}
		if invalid != nil {
			t.Invalid = invalid
			break
		}
		if len(names)+len(attached) == maxTags {
			t.err = fmt.Errorf("list tags: %w: more than %d", content.ErrInvalid, maxTags)
			return
		}
		if content.IsAttachedTag(tag) {
			attached = append(attached, tag)
		} else {
			names = append(names, tag)
		}
	}
	t.Names, t.Attached = names, attached
}

// maxRepositories limits the list of a registry's repositories, as maxTags limits that of tags.
const maxRepositories = 1_000_000

// Catalog lists the repositories of registries.
type Catalog interface {
	// Repositories yields the paths of a registry's repositories, at least of those that begin with under ("team/";
	// empty means all), and ends after the first error, which names the listing. It is a content.ErrUnsupported if the
	// registry does not list them. A content.InvalidNamesError follows all valid paths.
	Repositories(ctx context.Context, registry, under string) iter.Seq2[string, error]
}

// CatalogError reports that the repositories of a registry cannot be listed, so that a pattern finds none.
type CatalogError struct {
	Registry string
	Err      error
}

func (e *CatalogError) Error() string { return e.Err.Error() }

func (e *CatalogError) Unwrap() error { return e.Err }

// NoRepositoryError reports a pattern that no repository of its registry matches. It is probably mistyped, and the
// mirror would stay empty.
type NoRepositoryError struct {
	Registry, Glob string
	// Listed is how many repositories the registry named.
	Listed int
}

// ErrorCode and Reason are for [content.AnswerOf].
func (e *NoRepositoryError) ErrorCode() string { return "NO_REPOSITORY" }

// Reason does not name the pattern.
func (e *NoRepositoryError) Reason() string { return "no repository matches the pattern" }

func (e *NoRepositoryError) Error() string {
	return fmt.Sprintf("none of the %d repositories listed by %s matches %s", e.Listed, e.Registry, e.Glob)
}

// Matches returns the repositories that match a pattern, sorted, and the invalid names that the registry lists. If
// the listing fails, it returns no repositories, because missing ones would look like removed ones. A nil catalog
// lists none.
func Matches(ctx context.Context, catalog Catalog, pattern config.Source) (found []config.Source, invalid *content.InvalidNamesError, err error) {
	registry := pattern.Reference.Registry
	unlisted := func(err error) error {
		return &CatalogError{Registry: registry, Err: fmt.Errorf("list the repositories of %s: %w", registry, err)}
	}
	if catalog == nil || !pattern.Reference.IsRegistry() {
		return nil, nil, unlisted(content.ErrUnsupported)
	}
	var names []string
	listed := 0
	for name, err := range catalog.Repositories(ctx, registry, glob.Folder(pattern.Glob)) {
		var failure error
		if invalid, failure = content.SplitInvalidNames(err); failure != nil {
			return nil, nil, &CatalogError{Registry: registry, Err: failure}
		}
		if invalid != nil {
			break
		}
		if listed++; listed > maxRepositories {
			return nil, nil, unlisted(fmt.Errorf("%w: more than %d", content.ErrInvalid, maxRepositories))
		}
		if pattern.Matches(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, invalid, &NoRepositoryError{Registry: registry, Glob: pattern.Glob, Listed: listed}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		match := pattern
		match.Glob, match.Reference.Repository = "", name
		found = append(found, match)
	}
	return found, invalid, nil
}
