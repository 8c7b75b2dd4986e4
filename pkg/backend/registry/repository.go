package registry

import (
	"context"
	"net/http"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// Repository is one repository of a registry.
type Repository struct {
	*caller
	blobs
	manifests
	lists
}

func newRepository(r *caller) *Repository {
	return &Repository{r, blobs{r}, manifests{r}, lists{r}}
}

// WithPulls returns a view of the repository whose reads of manifests take from the pulls of one image. order is the
// position of the image among those that are read at the same time. The caller closes the pulls when the image's
// manifests have been read. The pulls are nil if the registry does not count any, and if mirrors are read first: then
// it is not known beforehand how many manifests are read here.
func (r *Repository) WithPulls(order int64) (content.Source, *limit.Pulls) {
	if len(r.mirrors) > 0 || r.host.pulls.Load() == pullsFree {
		return r, nil
	}
	metered := *r.caller
	metered.pulls = r.host.client.options.Limiter.Pulls(limit.Peer{Registry: r.host.wire.Registry(), Account: r.account}, order)
	return newRepository(&metered), metered.pulls
}

// HasMirrors implements [content.Mirrored].
func (r *Repository) HasMirrors() bool { return len(r.mirrors) > 0 }

// Prepare implements [content.Preparer]: one GET of /v2/, whose answer has the registry's challenge, and a token request if
// the registry requires one.
func (r *Repository) Prepare(ctx context.Context) error {
	if r.host.auth.Contacted() {
		return nil
	}
	return r.ask(ctx, call{method: http.MethodGet, url: r.host.wire.URL("/v2/", nil), traits: r.small(), access: r.reading()}, nothing)
}

var (
	_ content.Preparer        = (*Repository)(nil)
	_ content.Mirrored        = (*Repository)(nil)
	_ content.Source          = (*Repository)(nil)
	_ content.Target          = (*Repository)(nil)
	_ content.Mounter         = (*Repository)(nil)
	_ content.BlobReader      = (*Repository)(nil)
	_ content.RangeFetcher    = (*Repository)(nil)
	_ content.URLFetcher      = (*Repository)(nil)
	_ content.UploadResumer   = (*Repository)(nil)
	_ content.TagFetcher      = (*Repository)(nil)
	_ content.TagLister       = (*Repository)(nil)
	_ content.ReferrersLister = (*Repository)(nil)
	_ content.Deleter         = (*Repository)(nil)
	_ content.PushTimer       = (*Repository)(nil)
)
