package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
)

// Referrers implements [content.ReferrersLister] by the referrers API. If a registry
// has none, the client tries again after an hour.
func (l lists) Referrers(ctx context.Context, subject digest.Digest) ([]content.Descriptor, error) {
	if err := content.CheckDescriptor(content.Descriptor{Digest: subject}); err != nil {
		return nil, err
	}
	if l.caller.host.noReferrers.holds() {
		return nil, l.noReferrers(nil)
	}
	list := call{
		method: http.MethodGet, url: l.caller.url("referrers/"+subject.String(), nil), traits: l.caller.small(), access: l.caller.reading(),
		header: http.Header{"Accept": {ocispec.MediaTypeImageIndex}},
	}
	var found []content.Descriptor
	size := 0
	read := func(resp *http.Response, index *ocispec.Index) error {
		return readReferrers(l.caller.host.decoding, resp, index)
	}
	for page, err := range pages(ctx, l.caller, list, read) {
		if err != nil {
			return nil, l.referrersError(err)
		}
		found = append(found, page.Manifests...)
		more, _ := content.ListSize(page.Manifests)
		if size += more; size > content.MaxManifestSize {
			return nil, fmt.Errorf("referrers of %s: %w", subject, l.caller.tooMany(content.MaxManifestSize, "bytes of referrers"))
		}
		if bound := l.caller.host.client.limits.referrers; len(found) > bound {
			return nil, fmt.Errorf("referrers of %s: %w", subject, l.caller.tooMany(bound, "referrers"))
		}
	}
	for i, d := range found {
		// What is invalid is printed.
		if content.CheckDescriptor(d) != nil {
			found[i].Digest = digest.Digest(l.caller.host.wire.Hide(d.Digest.String()))
		}
		if content.CheckMediaType(d.MediaType) != nil {
			found[i].MediaType = l.caller.host.wire.Hide(d.MediaType)
		}
	}
	return content.ValidDescriptors("referrer", found)
}

// errNoIndex is an answer from something that does not know the API.
var errNoIndex = errors.New("the answer is no index")

// referrerPages is how many pages of referrers of one registry are decoded at a time. Their size is not known before they
// are read.
const referrerPages = 2

func readReferrers(decoding chan struct{}, resp *http.Response, index *ocispec.Index) error {
	if err := answer.CheckDocument(resp); err != nil {
		return err
	}
	if answer.MediaType(resp) != ocispec.MediaTypeImageIndex {
		return errNoIndex
	}
	ctx := resp.Request.Context()
	select {
	case decoding <- struct{}{}:
		defer func() { <-decoding }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	*index = ocispec.Index{} // an earlier attempt may have filled a part of it
	return answer.ReadJSON(resp, content.MaxManifestSize, index)
}

// referrersError tells a registry without the API from one without the repository: the
// specification wants an empty list, not a 404, for a subject that is not there.
func (l lists) referrersError(err error) error {
	refusal, answered := errors.AsType[*answer.Error](err)
	_, elsewhere := errors.AsType[*answer.NotRegistryError](err) // a web page in front of a registry, for paths that it lacks
	switch {
	case elsewhere, errors.Is(err, errNoIndex):
	case !answered || !errors.Is(err, content.ErrNotFound) && !errors.Is(err, content.ErrUnsupported):
		return err
	case refusal.Code == "NAME_UNKNOWN":
		return l.noReferrers(err)
	}
	l.caller.host.noReferrers.observe(factLife)
	return l.noReferrers(err)
}

func (l lists) noReferrers(cause error) error {
	if cause == nil {
		return fmt.Errorf("referrers at %s: %w", l.caller.host.wire.Name(), content.ErrUnsupported)
	}
	return fmt.Errorf("referrers at %s: %w: %w", l.caller.host.wire.Name(), content.ErrUnsupported, cause)
}
