package list

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/glob"
)

// maxRepositories bounds the list of a registry's repositories, as maxTags does that of tags.
const maxRepositories = 1_000_000

// Catalog lists the repositories of registries.
type Catalog interface {
	// Repositories yields the paths of a registry's repositories, at least of those that begin with under ("team/";
	// empty means all), and ends after the first error, which says what was asked. It is a content.ErrUnsupported where
	// the registry does not list them. A content.InvalidNamesError follows all valid paths.
	Repositories(ctx context.Context, registry, under string) iter.Seq2[string, error]
}

// CatalogError is a registry whose repositories cannot be listed, so that a pattern of repositories finds none.
type CatalogError struct {
	Registry string
	Err      error
}

func (e *CatalogError) Error() string { return e.Err.Error() }

func (e *CatalogError) Unwrap() error { return e.Err }

// NoRepositoryError is a pattern that no repository of its registry matches: probably a mistyped one, whose mirror
// would stay empty.
type NoRepositoryError struct {
	Registry, Glob string
	// Listed is how many repositories the registry named.
	Listed int
}

func (e *NoRepositoryError) Error() string {
	return fmt.Sprintf("none of the %d repositories that %s lists matches %s", e.Listed, e.Registry, e.Glob)
}

// Matches are the repositories that a pattern means, sorted, and the invalid names that the registry lists. A list that
// breaks off gives no repositories: what is missing would look as if it had been removed. A nil catalog lists none.
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
