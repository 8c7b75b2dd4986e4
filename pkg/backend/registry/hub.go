package registry

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/content"
)

// hubSite serves what Docker Hub's registry does not tell. It asks nobody who he is for what
// is public, and does not count against the quota of pulls.
const hubSite = "https://hub.docker.com"

const hubPageSize = "100" // the most that it gives

// hubPage is a page of any of its listings.
type hubPage[T any] struct {
	Next    string `json:"next"`
	Results []T    `json:"results"`
}

// hubPages yields the pages of a listing at Docker Hub's API, without credentials, and ends
// after the first error. They go the way of the registry's own requests: its proxy, slots and
// retries.
func hubPages[T any](ctx context.Context, hub *Repository, path ...string) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		next, err := hub.host.hubURL(path)
		if err != nil {
			yield(nil, err)
			return
		}
		seen := map[string]bool{}
		for next != nil {
			seen[next.String()] = true
			page, err := readHubPage[T](ctx, hub, next)
			if err == nil {
				next, err = nextHubPage(next, page.Next, seen)
			}
			if bound := hub.host.client.limits.pages; err == nil && next != nil && len(seen) >= bound {
				err = hub.tooMany(bound, "pages")
			}
			if !yield(page.Results, err) || err != nil {
				return
			}
		}
	}
}

func (h *host) hubURL(path []string) (*url.URL, error) {
	base, err := url.Parse(h.client.options.HubAPI)
	if err != nil {
		return nil, fmt.Errorf("the address of Docker Hub's API: %w", err)
	}
	escaped := make([]string, len(path))
	for i, element := range path {
		escaped[i] = url.PathEscape(element)
	}
	u := base.JoinPath(escaped...)
	u.RawQuery = url.Values{"page_size": {hubPageSize}}.Encode()
	return u, nil
}

func readHubPage[T any](ctx context.Context, hub *Repository, at *url.URL) (hubPage[T], error) {
	var page hubPage[T]
	err := hub.ask(ctx, call{method: http.MethodGet, url: at}, func(resp *http.Response) error {
		page = hubPage[T]{}
		if err := noWebPage(resp); err != nil {
			return err
		}
		return readJSON(resp, maxPage, &page)
	})
	return page, err
}

// nextHubPage is the page that follows the one at from, or nil: of the same host, and none
// that was seen before.
func nextHubPage(from *url.URL, link string, seen map[string]bool) (*url.URL, error) {
	if link == "" {
		return nil, nil
	}
	next, err := follow(from, link)
	if err != nil {
		return nil, err
	}
	var wrong string
	switch {
	case next.Scheme != from.Scheme || endpoint(next.Scheme, next.Host) != endpoint(from.Scheme, from.Host):
		wrong = "the next page is at " + next.Host
	case seen[next.String()]:
		wrong = "the pages go in a circle"
	default:
		return next, nil
	}
	return nil, fmt.Errorf("%s: %w: %s", redact(from), content.ErrInvalid, wrong)
}
