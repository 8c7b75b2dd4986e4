package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/mirror/config"
	"github.com/regsync/regsync/pkg/mirror/internal/glob"
)

// maxRepositories bounds the list of a registry's repositories: registries lie.
const maxRepositories = 1_000_000

// NoRepositoryError is a pattern that no repository of its registry matches: probably a
// mistyped one, whose mirror would stay empty for ever.
type NoRepositoryError struct {
	Registry, Glob string
	// Listed is how many repositories the registry named.
	Listed int
}

func (e *NoRepositoryError) Error() string {
	return fmt.Sprintf("none of the %d repositories that %s lists matches %s", e.Listed, e.Registry, e.Glob)
}

// matches are the repositories that a source's pattern means, sorted, and the invalid names
// that the registry lists. A list that breaks off gives no repositories: what is missing
// would look as if it had been removed.
func (s *Selection) matches(ctx context.Context, source config.Source) (found []config.Source, invalid *content.InvalidNamesError, err error) {
	registry := source.Reference.Registry
	if s.Catalog == nil || !source.Reference.IsRegistry() {
		return nil, nil, uncatalogued(registry, content.ErrUnsupported)
	}
	var names []string
	listed := 0
	for name, err := range s.Catalog.Repositories(ctx, registry, fixedPart(source.Glob)) {
		var failure error
		if invalid, failure = content.SplitInvalidNames(err); failure != nil {
			return nil, nil, &CatalogError{Registry: registry, Err: failure}
		}
		if invalid != nil {
			break
		}
		if listed++; listed > maxRepositories {
			return nil, nil, uncatalogued(registry, fmt.Errorf("%w: more than %d", content.ErrInvalid, maxRepositories))
		}
		if source.Matches(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, invalid, &NoRepositoryError{Registry: registry, Glob: source.Glob, Listed: listed}
	}
	slices.Sort(names)
	return sourcesOf(source, slices.Compact(names)), invalid, nil
}

func uncatalogued(registry string, err error) error {
	return &CatalogError{Registry: registry, Err: fmt.Errorf("list the repositories of %s: %w", registry, err)}
}

// sourcesOf are the repositories of some names, as matches of a pattern.
func sourcesOf(pattern config.Source, names []string) []config.Source {
	sources := make([]config.Source, len(names))
	for i, name := range names {
		sources[i] = pattern
		sources[i].Glob = ""
		sources[i].Reference.Repository = name
	}
	return sources
}

// fixedPart is the whole components that a pattern begins with: "team/" of "team/app-*".
func fixedPart(pattern string) string {
	prefix := glob.Prefix(pattern)
	return prefix[:strings.LastIndex(prefix, "/")+1]
}
