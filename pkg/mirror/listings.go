package mirror

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// maxTags bounds a listing: registries lie.
const maxTags = 1_000_000

// listings lists each repository once in a run, however many sources name it, and keeps
// the list until the last of them needs it no more.
type listings struct {
	sources SourceOpener
	created AgeMemory
	// keep keeps the tags that belong to images until the end: nobody tells when a plan is
	// made.
	keep    bool
	reading sync.WaitGroup
	flights flight.Group[content.Location, *tagList]

	mu    sync.Mutex
	uses  map[reference.Reference]int
	at    map[reference.Reference]content.Location
	lists map[content.Location]*tagList
}

// tagList is the tags of a repository, or why they cannot be had.
type tagList struct {
	tags     []string
	attached []string                   // those that belong to images
	invalid  *content.InvalidNamesError // nil if all listed tags are valid
	err      error

	ages *ages
}

func newListings(s *Selection, keep bool) *listings {
	return &listings{
		sources: s.Sources, created: s.Created, keep: keep, uses: map[reference.Reference]int{},
		at: map[reference.Reference]content.Location{}, lists: map[content.Location]*tagList{},
	}
}

// expect announces a source of images of a repository: its list is kept for them, if
// anybody makes one.
func (l *listings) expect(repository reference.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uses[repository]++
}

// release takes an expectation back. After the last one, the list is forgotten.
func (l *listings) release(repository reference.Reference) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses[repository]--; l.uses[repository] > 0 {
		return
	}
	delete(l.uses, repository)
	place, listed := l.at[repository]
	delete(l.at, repository)
	switch {
	case !listed || slices.Contains(slices.Collect(maps.Values(l.at)), place):
	case l.keep && l.lists[place] != nil:
		l.lists[place].tags = nil
	default:
		delete(l.lists, place)
	}
}

// attachedTags are those tags of a place that belong to images, if it was listed.
func (l *listings) attachedTags(place content.Location) ([]string, bool) {
	list := l.kept(place)
	if list == nil || list.err != nil {
		return nil, false
	}
	return list.attached, true
}

func (l *listings) kept(place content.Location) *tagList {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists[place]
}

// list gives the tags of a repository, and what tells their ages. Several callers share one
// listing, which goes on as long as one of them waits.
func (l *listings) list(ctx context.Context, repository reference.Reference) (*tagList, error) {
	source, err := l.sources.OpenSource(ctx, repository)
	if err != nil {
		return nil, err
	}
	lister, ok := source.(content.TagLister)
	if !ok {
		return nil, fmt.Errorf("its tags cannot be listed, name one: %w", content.ErrUnsupported)
	}
	place := source.Location()
	l.place(repository, place)
	list := l.kept(place)
	if list == nil {
		list, _, err = l.flights.Do(ctx, &l.reading, place, func(ctx context.Context) (*tagList, error) {
			if list := l.kept(place); list != nil { // since a moment ago
				return list, nil
			}
			list := &tagList{ages: newAges(source, l.created, &l.reading)}
			list.read(ctx, lister)
			return list, l.keepAt(ctx, place, list)
		})
	}
	if err != nil {
		return nil, err
	}
	return list, list.err
}

// place notes where a repository is.
func (l *listings) place(repository reference.Reference, at content.Location) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[repository] = at
}

// keepAt keeps a list, unless nobody has waited for its end: it is not whole then.
func (l *listings) keepAt(ctx context.Context, place content.Location, list *tagList) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() == nil {
		l.lists[place] = list
	}
	return context.Cause(ctx)
}

// read reads all tags, or none: a part of a list would look like a whole one.
func (t *tagList) read(ctx context.Context, lister content.TagLister) {
	var all, attached []string
	for tag, err := range lister.Tags(ctx) {
		invalid, failure := content.SplitInvalidNames(err)
		if failure != nil {
			t.err = fmt.Errorf("list tags: %w", failure)
			return
		}
		if invalid != nil {
			t.invalid = invalid
			break
		}
		if len(all)+len(attached) == maxTags {
			t.err = fmt.Errorf("list tags: %w: more than %d", content.ErrInvalid, maxTags)
			return
		}
		if content.IsAttachedTag(tag) {
			attached = append(attached, tag)
		} else {
			all = append(all, tag)
		}
	}
	t.tags, t.attached = all, attached
}
