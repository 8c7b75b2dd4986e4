package mirror

import (
	"slices"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
)

// feed is one source of an entry on its way to become jobs: first it is listed, then its
// images are taken one by one.
type feed struct {
	queue  *queue
	entry  *config.Entry
	source config.Source
	// order is its place in the configuration: the entry, the source, and the match of a
	// pattern.
	order [3]int
	// pattern is the canonical name of the pattern that it matches, if there is one.
	pattern string
	// firstOf is the feed of that pattern, if it is the first of its matches.
	firstOf *feed
	// writes are the repositories that it may write to.
	writes []spread
	// witness: its images are not wanted, only what they would be written to.
	witness bool
	// staked: claims speak of its images.
	staked bool

	listed
	state state
	// stuck: it does not count as looked ahead, because nothing became ready for so long.
	stuck bool
	next  int // the first image that was not taken
	open  int // jobs without a result
}

// listed is what was found out about a source.
type listed struct {
	// sources are the matches of a pattern of repositories.
	sources []config.Source
	tags    []string
	// resolved are the tags that had to be looked at already.
	resolved map[string]content.Descriptor
	warnings []string
	// invalid are the names that the listing left out; nil if there are none.
	invalid *content.InvalidNamesError
	err     error
}

// state is how far a feed has come.
type state int

const (
	stateComing  state = iota // not begun
	stateListing              // being listed
	stateListed               // its claims are not made yet
	stateReady                // its images may be taken
	stateSpent                // they all have been
)

// named is a source as errors and reports name it: an image, a repository, or a pattern of
// repositories in the place of one.
func named(source config.Source) reference.Reference {
	ref := source.Reference
	if source.Glob != "" {
		ref.Repository = source.Glob
	}
	return ref
}

// before reports whether f comes before another feed in the configuration.
func (f *feed) before(other *feed) bool { return slices.Compare(f.order[:], other.order[:]) < 0 }

// images is the number of its images.
func (f *feed) images() int {
	switch {
	case f.err != nil:
		return 0
	case f.source.IsRepository():
		return len(f.tags)
	default:
		return 1
	}
}

func (f *feed) image(i int) reference.Reference {
	if !f.source.IsRepository() {
		return f.source.Reference
	}
	return f.source.Reference.WithTag(f.tags[i])
}

// repository is what its images are in.
func (f *feed) repository() reference.Reference { return f.source.Reference.WithoutIdentifier() }

// remote reports whether somebody has to be asked what its images are.
func (f *feed) remote() bool {
	if f.source.Glob != "" {
		return true
	}
	_, named := f.entry.Tags.Literals()
	return f.source.IsRepository() && !named
}
