package registry

import (
	"net/url"

	"github.com/regsync/regsync/pkg/content"
)

// Repository is one repository of a registry.
type Repository struct {
	host    *host
	name    string
	account string
	retry   Retrier
	mirrors []*Repository
	reader  bool // asks for tokens that only read
}

var (
	_ content.Source          = (*Repository)(nil)
	_ content.Target          = (*Repository)(nil)
	_ content.Mounter         = (*Repository)(nil)
	_ content.RangeFetcher    = (*Repository)(nil)
	_ content.UploadResumer   = (*Repository)(nil)
	_ content.TagLister       = (*Repository)(nil)
	_ content.ReferrersLister = (*Repository)(nil)
	_ content.Deleter         = (*Repository)(nil)
	_ content.PushTimer       = (*Repository)(nil)
)

// Location implements [content.Located].
func (r *Repository) Location() content.Location {
	return content.Location{Registry: r.host.registry, Repository: r.name, Account: r.account}
}

// url is that of a path below the repository: "blobs/uploads/".
func (r *Repository) url(path string, query url.Values) *url.URL {
	return r.host.url("/v2/"+r.name+"/"+path, query)
}
