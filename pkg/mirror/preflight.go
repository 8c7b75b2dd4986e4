package mirror

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// WriteChecker finds out whether a place could be written to, and writes nothing.
type WriteChecker interface {
	CheckWrite(ctx context.Context, ref reference.Reference) error
}

// Check is what was found out about one place of a configuration before a run.
type Check struct {
	Side transfer.Side
	// Reference is an image or a repository; a pattern of repositories, in the place of one,
	// where those cannot be listed; and the source where a destination makes no name of it.
	Reference reference.Reference
	// Entries are the names of those that need it.
	Entries []string
	// Err is nil where the place is as it has to be.
	Err error
}

// preflights is how many places are asked at a time.
const preflights = 16

// Preflight asks every place of a selection whether a run could use it: images are resolved,
// repositories listed as far as their first tag, and destinations asked for an upload, which
// is cancelled. Each place is asked once. The checks come in the order of the configuration,
// an entry's sources before its destinations.
func (s *Selection) Preflight(ctx context.Context, targets WriteChecker) iter.Seq[Check] {
	return func(yield func(Check) bool) {
		checks := s.places(ctx)
		var group errgroup.Group
		group.SetLimit(preflights)
		for _, c := range checks {
			if c.Err != nil {
				continue
			}
			group.Go(func() error {
				c.Err = s.inspect(ctx, c, targets)
				return nil
			})
		}
		_ = group.Wait() // what a place has said is in its check
		for _, c := range checks {
			if !yield(*c) {
				return
			}
		}
	}
}

// places are all places of the configuration, each once.
func (s *Selection) places(ctx context.Context) []*Check {
	g := gathering{known: map[place]*Check{}}
	for i := range s.Config.Entries {
		s.gather(ctx, &s.Config.Entries[i], &g)
	}
	return g.checks
}

// gather adds the places of an entry.
func (s *Selection) gather(ctx context.Context, e *config.Entry, g *gathering) {
	var sources []reference.Reference
	for _, source := range e.Sources {
		found, err := s.repositories(ctx, e, source)
		if err != nil {
			g.add(place{transfer.SideSource, named(source)}, e.Name, err)
		}
		sources = append(sources, found...)
	}
	for _, source := range sources {
		g.add(place{transfer.SideSource, source}, e.Name, nil)
	}
	for _, source := range sources {
		for _, to := range e.Destinations {
			ref, err := written(to, source)
			if err != nil {
				ref = source
			}
			g.add(place{transfer.SideDestination, ref}, e.Name, err)
		}
	}
}

type place struct {
	side transfer.Side
	ref  reference.Reference
}

// gathering has the checks of places, in the order in which they are met.
type gathering struct {
	checks []*Check
	known  map[place]*Check
}

func (g *gathering) add(p place, entry string, err error) {
	c := g.known[p]
	if c == nil {
		c = &Check{Side: p.side, Reference: p.ref, Err: err}
		g.known[p] = c
		g.checks = append(g.checks, c)
	}
	if !slices.Contains(c.Entries, entry) {
		c.Entries = append(c.Entries, entry)
	}
}

// repositories are the repositories that a source means or, where it names them, the images.
func (s *Selection) repositories(ctx context.Context, entry *config.Entry, source config.Source) ([]reference.Reference, error) {
	expanded := []config.Source{source}
	if source.Glob != "" {
		var err error
		if expanded, _, err = s.matches(ctx, source); err != nil {
			return nil, err
		}
	}
	names, named := entry.Tags.Literals()
	var refs []reference.Reference
	for _, one := range expanded {
		if !named || !one.IsRepository() {
			refs = append(refs, one.Reference)
			continue
		}
		for _, name := range names {
			refs = append(refs, one.Reference.WithTag(name))
		}
	}
	return refs, nil
}

// written is the repository that a destination means for a source; any tag will do to ask.
func written(to config.Destination, source reference.Reference) (reference.Reference, error) {
	if source.Identifier() == "" {
		source = source.WithTag("latest")
	}
	ref, err := to.Reference(source)
	return ref.WithoutIdentifier(), err
}

func (s *Selection) inspect(ctx context.Context, c *Check, targets WriteChecker) error {
	if c.Side == transfer.SideDestination {
		return onSide(c, targets.CheckWrite(ctx, c.Reference))
	}
	source, err := s.Sources.OpenSource(ctx, c.Reference)
	if err != nil {
		return onSide(c, err)
	}
	if name := c.Reference.Identifier(); name != "" {
		_, err = source.Resolve(ctx, name)
		return onSide(c, err)
	}
	return onSide(c, firstTag(ctx, source))
}

// firstTag reads a listing as far as it takes to see that it can be read.
func firstTag(ctx context.Context, source content.Source) error {
	lister, ok := source.(content.TagLister)
	if !ok {
		return fmt.Errorf("its tags cannot be listed: %w", content.ErrUnsupported)
	}
	for _, err := range lister.Tags(ctx) {
		_, failure := content.SplitInvalidNames(err)
		return failure
	}
	return nil
}

func onSide(c *Check, err error) error {
	if err == nil {
		return nil
	}
	return &transfer.Error{Side: c.Side, Reference: c.Reference, Err: err}
}
