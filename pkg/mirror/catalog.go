package mirror

import (
	"context"
	"iter"
)

// Catalog lists the repositories of registries.
type Catalog interface {
	// Repositories yields the paths of a registry's repositories, at least of those that
	// begin with under ("team/"; empty means all), and ends after the first error, which says
	// what was asked. It is a content.ErrUnsupported where the registry does not list them. A
	// content.InvalidNamesError follows all valid paths.
	Repositories(ctx context.Context, registry, under string) iter.Seq2[string, error]
}

// CatalogError is a registry whose repositories cannot be listed, so that a pattern of
// repositories finds none.
type CatalogError struct {
	Registry string
	Err      error
}

func (e *CatalogError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *CatalogError) Unwrap() error { return e.Err }
