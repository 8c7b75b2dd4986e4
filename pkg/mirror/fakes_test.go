package mirror_test

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// paged gives every repository the same tags; before some of them something happens.
type paged struct {
	tags    []string
	before  map[int]func(context.Context) error
	endless bool
	opened  atomic.Int32 // listings that were begun
}

type pagedRepository struct {
	repository
	of *paged
}

func (p *paged) OpenSource(_ context.Context, ref reference.Reference) (content.Source, error) {
	at := content.Location{Registry: ref.Registry, Repository: ref.Repository}
	return pagedRepository{repository{at: at}, p}, nil
}

func (r pagedRepository) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		r.of.opened.Add(1)
		for again := true; again; again = r.of.endless {
			for i, tag := range r.of.tags {
				if before := r.of.before[i]; before != nil {
					if err := before(ctx); err != nil {
						yield("", err)
						return
					}
				}
				if !yield(tag, nil) {
					return
				}
			}
		}
	}
}

// vanishing is a world in which a repository that was listed is gone.
type vanishing struct {
	world

	repository string
}

func (v *vanishing) OpenSource(ctx context.Context, ref reference.Reference) (content.Source, error) {
	if ref.Repository == v.repository {
		return nil, fmt.Errorf("repository %s: %w", ref.FamiliarName(), content.ErrNotFound)
	}
	return v.world.OpenSource(ctx, ref)
}
