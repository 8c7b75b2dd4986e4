package registry

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/regsync/regsync/pkg/content"
)

// Repository is one repository of a registry.
type Repository struct {
	host    *host
	name    string
	account string
	mirrors []*Repository
	reader  bool // asks for tokens that only read
	mirror  bool // there is another place to ask
}

var (
	_ content.Source          = (*Repository)(nil)
	_ content.Target          = (*Repository)(nil)
	_ content.Mounter         = (*Repository)(nil)
	_ content.BlobReader      = (*Repository)(nil)
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

// check refuses what is neither a tag nor a digest: it must not become part of a URL.
func (r *Repository) check(tagOrDigest string) error {
	if err := content.CheckReference(tagOrDigest); err != nil {
		return fmt.Errorf("%s: %w", r.Location(), err)
	}
	return nil
}

// url is that of a path below the repository: "blobs/uploads/".
func (r *Repository) url(path string, query url.Values) *url.URL {
	return withPath(r.host.url("", query), "/v2/"+r.name+"/"+path)
}

// manifestURL is that of a manifest. The tag or digest is one element of the path.
func (r *Repository) manifestURL(tagOrDigest string) *url.URL {
	return withPath(r.host.url("", nil), "/v2/"+r.name+"/manifests", tagOrDigest)
}

// withPath sets the path of u, with further elements. Each element is escaped, although all
// names in it have been checked.
func withPath(u *url.URL, path string, elements ...string) *url.URL {
	u.Path = strings.Join(append([]string{path}, elements...), "/")
	escaped := strings.Split(path, "/")
	escaped = append(escaped, elements...)
	for i, element := range escaped {
		escaped[i] = url.PathEscape(element)
	}
	u.RawPath = strings.Join(escaped, "/")
	return u
}
