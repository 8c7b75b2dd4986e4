package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/flight"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/tags"
)

// PushTimesError reports that a registry did not state when its tags were pushed, which `pushedWithin` needs. It
// is a content.ErrUnsupported if the registry never states it.
type PushTimesError struct{ Err error }

func (e *PushTimesError) Error() string { return fmt.Sprintf("read push times: %v", e.Err) }

// Unwrap returns the cause.
func (e *PushTimesError) Unwrap() error { return e.Err }

// ages determines the ages of the tags of one repository. Nothing is read twice, and an image whose date is
// remembered from an earlier run is not read at all.
type ages struct {
	source  content.Source
	memory  AgeMemory // nil remembers nothing
	reading *sync.WaitGroup

	tags  flight.Memo[string, content.Descriptor]
	dates flight.Memo[digest.Digest, time.Time]
	// pushed has the push times of all tags, from one listing.
	pushed flight.Memo[struct{}, map[string]time.Time]

	mu       sync.Mutex
	resolved map[string]content.Descriptor
	images   int // that were read since the last call of cost
	reads    int // manifests that were read for them
}

var _ tags.Ages = (*ages)(nil)

// newAges returns the ages of a repository. The goroutines that read are counted in reading.
func newAges(source content.Source, memory AgeMemory, reading *sync.WaitGroup) *ages {
	return &ages{source: source, memory: memory, reading: reading, resolved: map[string]content.Descriptor{}}
}

// Created implements [tags.Ages] by [content.Created]. A tag that was deleted since it was listed has no date.
func (a *ages) Created(ctx context.Context, tag string) (time.Time, error) {
	image, _, err := a.tags.Do(ctx, a.reading, tag, func(ctx context.Context) (content.Descriptor, error) {
		return a.resolve(ctx, tag)
	})
	if errors.Is(err, content.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	at, _, err := a.dates.Do(ctx, a.reading, image.Digest, func(ctx context.Context) (time.Time, error) {
		return a.date(ctx, tag, image)
	})
	return at, err
}

func (a *ages) resolve(ctx context.Context, tag string) (content.Descriptor, error) {
	image, err := a.source.Resolve(ctx, tag)
	if err == nil {
		err = content.CheckDescriptor(image)
	}
	if err != nil {
		return content.Descriptor{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resolved[tag] = image
	return image, nil
}

// date returns the creation date of an image, from memory if it is remembered.
func (a *ages) date(ctx context.Context, tag string, image content.Descriptor) (time.Time, error) {
	if a.memory != nil {
		if at, known := a.memory.Created(image.Digest); known {
			return at, nil
		}
	}
	a.count(1, 1)
	var at time.Time
	manifest, err := content.FetchResolved(ctx, a.source, tag, image)
	if err == nil {
		at, err = content.Created(ctx, countedReads{a}, a.source, manifest)
	}
	// An image that regsync cannot read does not exclude other tags of the repository.
	if errors.Is(err, content.ErrInvalid) || errors.Is(err, content.ErrSchema1) {
		at, err = time.Time{}, nil
	}
	if err == nil && a.memory != nil {
		a.memory.KeepCreated(image.Digest, at)
	}
	return at, err
}

// countedReads counts the manifests below an index that are read.
type countedReads struct{ ages *ages }

func (c countedReads) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	c.ages.count(0, 1)
	return c.ages.source.FetchManifest(ctx, d)
}

func (a *ages) count(images, reads int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.images += images
	a.reads += reads
}

// Pushed implements [tags.Ages]. One listing has the times of all tags.
func (a *ages) Pushed(ctx context.Context, tag string) (time.Time, error) {
	timer, ok := a.source.(content.PushTimer)
	if !ok {
		return time.Time{}, &PushTimesError{content.ErrUnsupported}
	}
	pushed, _, err := a.pushed.Do(ctx, a.reading, struct{}{}, timer.Pushed)
	if err != nil {
		return time.Time{}, &PushTimesError{err}
	}
	return pushed[tag], nil
}

// cost returns a message about what was read for ages since the last call; empty if nothing was read.
func (a *ages) cost(registry string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	images, reads := a.images, a.reads
	a.images, a.reads = 0, 0
	if reads == 0 {
		return ""
	}
	return fmt.Sprintf("reading the creation date of %s needed %s to %s, which count as pulls",
		plural(images, "image"), plural(reads, "manifest request"), registry)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// resolvedOf returns what some tags were resolved to, as far as their dates were needed.
func (a *ages) resolvedOf(names []string) map[string]content.Descriptor {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.resolved) == 0 {
		return nil
	}
	kept := make(map[string]content.Descriptor, len(names))
	for _, name := range names {
		if d, known := a.resolved[name]; known {
			kept[name] = d
		}
	}
	return kept
}
