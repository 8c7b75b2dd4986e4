package registry

import (
	"github.com/regsync/regsync/pkg/content"
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

var (
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
