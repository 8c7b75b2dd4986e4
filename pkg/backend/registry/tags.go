package registry

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// pageSize is what registries commonly allow; they may send fewer, or all.
const pageSize = "1000"

// Tags implements [content.TagLister].
func (r *Repository) Tags(ctx context.Context) iter.Seq2[string, error] {
	type page struct {
		Tags []string `json:"tags"`
	}
	return func(yield func(string, error) bool) {
		c := call{method: http.MethodGet, url: r.url("tags/list", url.Values{"n": {pageSize}}), intent: r.reading()}
		for page, err := range pages[page](ctx, r, c, maxPage, noWebPage) {
			if err != nil {
				yield("", err)
				return
			}
			for _, tag := range page.Tags {
				if !yield(tag, nil) {
					return
				}
			}
		}
	}
}
