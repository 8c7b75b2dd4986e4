package mirror

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/list"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/transfer"
)

// WriteChecker checks whether a place can be written to, without writing.
type WriteChecker interface {
	CheckWrite(ctx context.Context, ref reference.Reference) error
}

// Check is the state of one place of a configuration before a run.
type Check struct {
	Side transfer.Side
	// Reference is an image or a repository; a pattern of repositories, in the place of one, where those cannot be
	// listed; or the source, if no destination can be derived from it.
	Reference reference.Reference
	// Entries are the names of the entries that need the place.
	Entries []string
	// Err is nil if a run can use the place.
	Err error

	matched bool // only a pattern selects it: a run only warns if it does not exist
}

// preflights is how many places are checked at a time.
const preflights = 16

// Preflight checks whether a run could use the places of a selection: it resolves images, lists repositories up to
// their first tag, and starts an upload at each destination, which it cancels. Each place is checked once. The checks
// are in the order of the configuration, an entry's sources before its destinations.
func Preflight(ctx context.Context, selection *Selection, targets WriteChecker) iter.Seq[Check] {
	return func(yield func(Check) bool) {
		g := gathering{known: map[place]*Check{}}
		for i := range selection.Config.Entries {
			if entry := &selection.Config.Entries[i]; !entry.Unwanted {
				g.gather(ctx, selection.Catalog, entry)
			}
		}
		var group errgroup.Group
		group.SetLimit(preflights)
		for _, c := range g.checks {
			if c.Err != nil {
				continue
			}
			group.Go(func() error {
				err := inspect(ctx, c, selection.Sources, targets)
				if err != nil && (!c.matched || !errors.Is(err, content.ErrNotFound)) {
					c.Err = &transfer.Error{Side: c.Side, Reference: c.Reference, Err: err}
				}
				return nil
			})
		}
		_ = group.Wait() // what a place has said is in its check
		for _, c := range g.checks {
			if !yield(*c) {
				return
			}
		}
	}
}

// gathering collects the checks of places, in the order of the configuration.
type gathering struct {
	checks []*Check
	known  map[place]*Check
}

type place struct {
	side transfer.Side
	ref  reference.Reference
}

// gather adds the places of an entry.
func (g *gathering) gather(ctx context.Context, catalog Catalog, e *config.Entry) {
	var sources []reference.Reference
	for _, source := range e.Sources {
		found, err := repositories(ctx, catalog, e, source)
		if err != nil {
			g.add(place{transfer.SideSource, list.Name(source)}, e.Name, false, err)
		}
		for _, ref := range found {
			g.add(place{transfer.SideSource, ref}, e.Name, source.Glob != "" && ref.Identifier() == "", nil)
		}
		sources = append(sources, found...)
	}
	for _, source := range sources {
		if source.Identifier() == "" {
			source = source.WithTag("latest") // any tag will do for this request
		}
		for _, to := range e.Destinations {
			ref, err := to.Reference(source)
			if err != nil {
				ref = source
			}
			g.add(place{transfer.SideDestination, ref.WithoutIdentifier()}, e.Name, false, err)
		}
	}
}

func (g *gathering) add(p place, entry string, matched bool, err error) {
	c := g.known[p]
	if c == nil {
		c = &Check{Side: p.side, Reference: p.ref, Err: err, matched: true}
		g.known[p] = c
		g.checks = append(g.checks, c)
	}
	c.matched = c.matched && matched
	if !slices.Contains(c.Entries, entry) {
		c.Entries = append(c.Entries, entry)
	}
}

// repositories returns the repositories of a source or, if it names images, the images.
func repositories(ctx context.Context, catalog Catalog, entry *config.Entry, source config.Source) ([]reference.Reference, error) {
	expanded := []config.Source{source}
	if source.Glob != "" {
		var err error
		if expanded, _, err = list.Matches(ctx, catalog, source); err != nil {
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

func inspect(ctx context.Context, c *Check, sources SourceOpener, targets WriteChecker) error {
	if c.Side == transfer.SideDestination {
		return targets.CheckWrite(ctx, c.Reference)
	}
	source, err := sources.OpenSource(ctx, c.Reference)
	if err != nil {
		return err
	}
	if name := c.Reference.Identifier(); name != "" {
		_, err = source.Resolve(ctx, name)
		return err
	}
	lister, ok := source.(content.TagLister)
	if !ok {
		return fmt.Errorf("tags cannot be listed: %w", content.ErrUnsupported)
	}
	for _, err := range lister.Tags(ctx) { // the first result shows whether it can be read
		_, failure := content.SplitInvalidNames(err)
		return failure
	}
	return nil
}
