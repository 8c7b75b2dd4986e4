package list

import (
	"context"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/conflict"
	"github.com/regsync/regsync/pkg/mirror/tags"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// Feed is one source of an entry while it is turned into jobs: it is listed, claims the tags that it writes, and its
// images are taken one by one.
type Feed struct {
	conflict.Writer
	Entry  *config.Entry
	Source config.Source
	// From is the source in the configuration; for a match of a pattern, the pattern.
	From config.Source
	// FirstOf is the feed of that pattern, if it is the first of its matches.
	FirstOf *Feed
	Result

	queue *queue
	state state
	// stuck: it does not count for lookahead, because nothing became ready within Options.Patience.
	stuck bool
	next  int // the first image that was not taken
	open  int // jobs without a result
}

// Result is the result of listing a source.
type Result struct {
	// Sources are the matches of a pattern of repositories.
	Sources []config.Source
	Tags    []string
	// Verdicts explain why tags are selected or not, if requested.
	Verdicts []tags.Verdict
	// Resolved are the tags that were already resolved.
	Resolved map[string]content.Descriptor
	Warnings []error
	// Invalid are the invalid names in the listing, which are ignored; nil if there are none.
	Invalid *content.InvalidNamesError
	// Err is why there are no images. Unknown: there may be images, but they cannot be listed.
	Err     error
	Unknown bool
}

// state is the progress of a feed.
type state int

const (
	stateComing  state = iota // not begun
	stateListing              // being listed
	stateListed               // its tags are not claimed yet
	stateReady                // its images may be taken
	stateDone                 // they all have been
)

// Name is the name of a source in errors and reports: an image, a repository, or a pattern of repositories.
func Name(source config.Source) reference.Reference {
	ref := source.Reference
	if source.Glob != "" {
		ref.Repository = source.Glob
	}
	return ref
}

// Found reports whether the source was found by a pattern.
func (f *Feed) Found() bool { return f.From.Glob != "" && f.Source.Glob == "" }

// Images is the number of its images.
func (f *Feed) Images() int {
	switch {
	case f.Err != nil:
		return 0
	case f.Source.IsRepository():
		return len(f.Tags)
	default:
		return 1
	}
}

// Image is one of its images.
func (f *Feed) Image(i int) reference.Reference {
	if !f.Source.IsRepository() {
		return f.Source.Reference
	}
	return f.Source.Reference.WithTag(f.Tags[i])
}

// First reports whether none of its images has been taken.
func (f *Feed) First() bool { return f.next == 0 }

// repository is the repository of its images.
func (f *Feed) repository() reference.Reference { return f.Source.Reference.WithoutIdentifier() }

// Remote reports whether the images are known only from requests to a registry.
func (f *Feed) Remote() bool {
	if f.Source.Glob != "" {
		return true
	}
	_, named := f.Entry.Tags.Literals()
	return f.Source.IsRepository() && !named
}

// Bounded returns a context that ends when the entry's timeout has passed since its first listing.
func (f *Feed) Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := f.Entry.Timeout
	if limit <= 0 {
		return ctx, func() {}
	}
	late := &transfer.TimeoutError{Entry: f.Entry.Name, Timeout: limit}
	return context.WithTimeoutCause(ctx, limit-time.Since(f.queue.began), late)
}

// rest is the known number of images that have not been taken.
func (f *Feed) rest() (images int, known bool) {
	switch {
	case f.Unwanted:
		return 0, true
	case f.state >= stateListed && f.Source.Glob == "" || !f.Source.IsRepository():
		return f.Images() - f.next, f.Err == nil
	case f.Remote():
		return 0, false
	default:
		names, _ := f.Entry.Tags.Literals()
		return len(names), true
	}
}
