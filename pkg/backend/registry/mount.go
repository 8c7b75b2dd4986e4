package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// Mount implements [content.Mounter] by one POST. An answer other than 201 and 202 is a
// [content.ErrNotMounted], since registries refuse mounts in many ways; except for 429 and
// 5xx, which refuse any request.
func (r *Repository) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if err := reference.CheckRepository(from); err != nil {
		return nil, fmt.Errorf("blob %s from %q: %w: %w: %w", d.Digest, from, content.ErrNotMounted, content.ErrInvalid, err)
	}
	in := r.uploading(d)
	in.from, in.lasting, in.opens = from, true, true
	opened, err := r.tryMount(ctx, call{
		method: http.MethodPost, intent: in,
		url:    r.url("blobs/uploads/", url.Values{"mount": {d.Digest.String()}, "from": {from}}),
		accept: []int{http.StatusCreated, http.StatusAccepted},
	}, d)
	switch status := statusOf(err); {
	case err == nil && opened == nil:
		return nil, nil
	case err == nil:
		return opened, nil
	case status == 0 && !errors.Is(err, content.ErrInvalid), status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return nil, fmt.Errorf("mount blob %s from %s: %w", d.Digest, from, err)
	case from == r.name && errors.Is(err, content.ErrDenied): // a refused upload, not a refused mount
		return nil, fmt.Errorf("push blob %s: %w", d.Digest, err)
	default:
		return nil, fmt.Errorf("blob %s from %s: %w: %w", d.Digest, from, content.ErrNotMounted, err)
	}
}

func (r *Repository) tryMount(ctx context.Context, c call, d content.Descriptor) (*upload, error) {
	resp, err := r.host.do(ctx, c)
	if err != nil {
		return nil, err
	}
	defer discard(resp)
	if resp.StatusCode == http.StatusCreated {
		return nil, nil
	}
	u := &upload{r: r, d: d}
	if err := u.moveOn(resp); err != nil {
		return nil, err
	}
	err = u.keep(ctx)
	return u, err
}
