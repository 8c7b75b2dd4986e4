package mirror

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// lookahead is how many sources are listed at a time, or have been and wait for their turn.
const lookahead = 16

// wanted is a source of an entry.
type wanted struct {
	entry  *config.Entry
	source config.Source
}

// listing is a source and, once it is done, its tags.
type listing struct {
	wanted
	started time.Time
	done    chan struct{} // closed when the fields below are there

	tags     []string
	warnings []string
	err      error
}

// images are the images of the source that are wanted.
func (l *listing) images() []reference.Reference {
	if !l.source.IsRepository() {
		return []reference.Reference{l.source.Reference}
	}
	images := make([]reference.Reference, len(l.tags))
	for i, tag := range l.tags {
		images[i] = l.source.Reference.WithTag(tag)
	}
	return images
}

func (l *listing) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// listings yields every source of the configuration with its tags, a few being listed while
// the first is used.
func (s *Selection) listings(ctx context.Context) iter.Seq[*listing] {
	return func(yield func(*listing) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		next, stop := iter.Pull(s.wanted())
		defer stop()
		ended := make(chan struct{}, 1)
		var ahead []*listing
		for {
			for len(ahead) < lookahead {
				w, ok := next()
				if !ok {
					break
				}
				l := &listing{wanted: w, started: time.Now(), done: make(chan struct{})}
				ahead = append(ahead, l)
				reading.Go(func() {
					s.read(ctx, l)
					close(l.done)
					select {
					case ended <- struct{}{}:
					default:
					}
				})
			}
			i, ok := s.turn(ctx, ahead, ended)
			if !ok || !yield(ahead[i]) {
				return
			}
			ahead = slices.Delete(ahead, i, i+1)
		}
	}
}

// turn waits for the listing whose turn it is: the first one, or the first that has ended
// behind those which have used up their patience.
func (s *Selection) turn(ctx context.Context, ahead []*listing, ended <-chan struct{}) (int, bool) {
	if len(ahead) == 0 {
		return 0, false
	}
	for {
		var patience <-chan time.Time
		for i, l := range ahead {
			if l.ended() {
				return i, true
			}
			if s.Patience <= 0 {
				break
			}
			if left := s.Patience - time.Since(l.started); left > 0 {
				patience = time.After(left)
				break
			}
		}
		select {
		case <-ended:
		case <-patience:
		case <-ctx.Done():
			return 0, false
		}
	}
}

func (s *Selection) wanted() iter.Seq[wanted] {
	return func(yield func(wanted) bool) {
		for i := range s.Config.Entries {
			entry := &s.Config.Entries[i]
			for _, source := range entry.Sources {
				if !yield(wanted{entry, source}) {
					return
				}
			}
		}
	}
}

// read finds the tags of a source that are wanted. An entry that says which, and gets none,
// has failed.
func (s *Selection) read(ctx context.Context, l *listing) {
	if !l.source.IsRepository() {
		return
	}
	repository, selector := l.source.Reference, l.entry.Tags
	listed, named := selector.Literals()
	var err error
	if !named {
		listed, err = s.list(ctx, repository, selector)
	}
	if err == nil {
		err = l.choose(ctx, listed, named)
	}
	if err != nil {
		l.err = &transfer.Error{Side: transfer.SideSource, Reference: repository, Err: err}
	}
}

func (l *listing) choose(ctx context.Context, listed []string, named bool) error {
	selector := l.entry.Tags
	choice, err := selector.Choose(ctx, listed, nil, time.Now())
	if err != nil {
		return err
	}
	l.tags, l.warnings = choice.Selected(), choice.Idle
	if len(l.tags) == 0 && selector != nil {
		return &NothingSelectedError{Repository: l.source.Reference, Tags: selector, Listed: len(listed), Named: named}
	}
	return nil
}
