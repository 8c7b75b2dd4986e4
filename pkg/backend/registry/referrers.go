package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/content"
)

// Referrers implements [content.ReferrersLister] by the referrers API. A registry that has
// none is asked once.
func (r *Repository) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	if err := content.CheckDescriptor(content.Descriptor{Digest: subject}); err != nil {
		return nil, err
	}
	if r.host.noReferrers.Load() {
		return nil, r.noReferrers(nil)
	}
	list := call{
		method: http.MethodGet, url: r.url("referrers/"+subject.String(), nil), intent: r.reading(),
		header: http.Header{"Accept": {ocispec.MediaTypeImageIndex}},
	}
	var found []content.Descriptor
	for page, err := range pages[ocispec.Index](ctx, r, list, content.MaxManifestSize, isIndex) {
		if err != nil {
			return nil, r.referrersError(err)
		}
		found = append(found, page.Manifests...)
		if bound := r.host.client.limits.referrers; len(found) > bound {
			return nil, fmt.Errorf("referrers of %s: %w", subject, r.tooMany(bound, "referrers"))
		}
	}
	return content.ValidDescriptors("referrer", found)
}

// errNoIndex is an answer from something that does not know the API.
var errNoIndex = errors.New("the answer is no index")

func isIndex(resp *http.Response) error {
	if isWebPage(resp) {
		return notRegistry(resp)
	}
	if mediaTypeOf(resp) != ocispec.MediaTypeImageIndex {
		return errNoIndex
	}
	return nil
}

// referrersError tells a registry without the API from one without the repository: the
// specification wants an empty list, not a 404, for a subject that is not there.
func (r *Repository) referrersError(err error) error {
	refusal, answered := errors.AsType[*Error](err)
	_, elsewhere := errors.AsType[*NotRegistryError](err) // a page in front of a registry, for what that does not have
	switch {
	case elsewhere, errors.Is(err, errNoIndex):
	case !answered || !errors.Is(err, content.ErrNotFound) && !errors.Is(err, content.ErrUnsupported):
		return err
	case refusal.Code == "NAME_UNKNOWN":
		return r.noReferrers(err)
	}
	r.host.noReferrers.Store(true)
	return r.noReferrers(err)
}

func (r *Repository) noReferrers(cause error) error {
	if cause == nil {
		return fmt.Errorf("referrers at %s: %w", r.host.name, content.ErrUnsupported)
	}
	return fmt.Errorf("referrers at %s: %w: %w", r.host.name, content.ErrUnsupported, cause)
}
