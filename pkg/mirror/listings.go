package mirror

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

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

	mu    sync.Mutex
	uses  map[reference.Reference]int
	at    map[reference.Reference]content.Location
	lists map[content.Location]*tagList
}

// tagList is the tags of a repository.
type tagList struct {
	done     chan struct{} // closed when the fields below are there
	tags     []string
	attached []string // those that belong to images
	err      error

	ages    *ages
	waiting int
	cancel  context.CancelFunc
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
	l.mu.Lock()
	list := l.lists[place]
	l.mu.Unlock()
	if list == nil {
		return nil, false
	}
	select {
	case <-list.done:
		return list.attached, list.err == nil
	default:
		return nil, false
	}
}

// list gives the tags of a repository, and what tells their ages. Several callers share one
// listing, which goes on as long as one of them waits.
func (l *listings) list(ctx context.Context, repository reference.Reference) ([]string, *ages, error) {
	source, err := l.sources.OpenSource(ctx, repository)
	if err != nil {
		return nil, nil, err
	}
	list, err := l.join(ctx, repository, source)
	if err != nil {
		return nil, nil, err
	}
	defer l.leave(source.Location(), list)
	select {
	case <-list.done:
		return list.tags, list.ages, list.err
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

func (l *listings) join(ctx context.Context, repository reference.Reference, source content.Source) (*tagList, error) {
	lister, ok := source.(content.TagLister)
	if !ok {
		return nil, fmt.Errorf("its tags cannot be listed, name one: %w", content.ErrUnsupported)
	}
	place := source.Location()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[repository] = place
	list := l.lists[place]
	if list == nil {
		reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
		list = &tagList{done: make(chan struct{}), cancel: cancel, ages: newAges(source, l.created)}
		l.lists[place] = list
		l.reading.Go(func() {
			defer close(list.done)
			list.read(reading, lister)
		})
	}
	list.waiting++
	return list, nil
}

// leave ends a listing that nobody waits for any more.
func (l *listings) leave(place content.Location, list *tagList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if list.waiting--; list.waiting > 0 {
		return
	}
	list.cancel()
	select {
	case <-list.done:
	default:
		if l.lists[place] == list {
			delete(l.lists, place)
		}
	}
}

// read reads all tags, or none: a part of a list would look like a whole one.
func (t *tagList) read(ctx context.Context, lister content.TagLister) {
	var all, attached []string
	for tag, err := range lister.Tags(ctx) {
		if err != nil {
			t.err = fmt.Errorf("list tags: %w", err)
			return
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
