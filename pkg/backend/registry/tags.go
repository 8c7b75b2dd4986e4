package registry

import (
	"context"
	"iter"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// pageSize is what registries commonly allow; they may send fewer, or all.
const pageSize = "1000"

// Tags implements [content.TagLister].
func (r *Repository) Tags(ctx context.Context) iter.Seq2[string, error] {
	type page struct {
		Tags []string `json:"tags"`
	}
	c := call{method: http.MethodGet, url: r.url("tags/list", url.Values{"n": {pageSize}}), intent: r.reading()}
	listed := namesOf(r, "tags", pages[page](ctx, r, c, maxPage, noWebPage), func(p *page) []string { return p.Tags })
	return content.ValidNames("tag", reference.CheckTag, listed)
}
