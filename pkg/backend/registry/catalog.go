package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Repositories yields the names of a registry's repositories, and ends after the first
// error. Many registries, Docker Hub among them, list none: that is a
// [content.ErrUnsupported], or a refusal. A [content.InvalidNamesError] follows all valid
// names.
func (c *Client) Repositories(ctx context.Context, host string) iter.Seq2[string, error] {
	type page struct {
		Repositories []string `json:"repositories"`
	}
	return func(yield func(string, error) bool) {
		h, err := c.host(host)
		if err != nil {
			yield("", err)
			return
		}
		list := call{
			method: http.MethodGet, url: h.url("/v2/_catalog", url.Values{"n": {pageSize}}),
			intent: intent{need: scopes{newScope("registry", "catalog", "*")}},
		}
		r := &Repository{host: h}
		listed := namesOf(r, "repositories", pages[page](ctx, r, list, maxPage, noWebPage),
			func(p *page) []string { return p.Repositories })
		for name, err := range content.ValidNames("repository name", reference.CheckRepository, listed) {
			if _, failure := content.SplitInvalidNames(err); failure != nil {
				err = noCatalog(h, failure)
			}
			if !yield(name, err) {
				return
			}
		}
	}
}

func noCatalog(h *host, err error) error {
	if errors.Is(err, content.ErrNotFound) {
		return fmt.Errorf("list the repositories of %s: %w: %w", h.name, content.ErrUnsupported, err)
	}
	return fmt.Errorf("list the repositories of %s: %w", h.name, err)
}
