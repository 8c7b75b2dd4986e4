package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/content"
)

// Repositories yields the names of a registry's repositories, and ends after the first
// error. Many registries, Docker Hub among them, list none: that is a
// [content.ErrUnsupported], or a refusal.
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
		for page, err := range pages[page](ctx, &Repository{host: h, retry: c.options.Retry}, list, maxPage, noWebPage) {
			if err != nil {
				yield("", noCatalog(h, err))
				return
			}
			for _, name := range page.Repositories {
				if !yield(name, nil) {
					return
				}
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
