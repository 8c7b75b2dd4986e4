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

// Mount implements [content.Mounter]. A registry that is too busy (429, 503) is asked
// again; any other answer than 201 and 202 is a [content.ErrNotMounted], since registries
// refuse mounts in many ways. That no answer came is not.
func (r *Repository) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if err := reference.CheckRepository(from); err != nil {
		return nil, fmt.Errorf("blob %s from %q: %w: %w: %w", d.Digest, from, content.ErrNotMounted, content.ErrInvalid, err)
	}
	in := r.writing()
	in.from, in.lasting, in.opens = from, true, true
	var opened *upload
	var refusal error
	err := again(ctx, r.retry, func(ctx context.Context) (err error) {
		opened, err = r.tryMount(ctx, call{
			method: http.MethodPost, intent: in,
			url:    r.url("blobs/uploads/", url.Values{"mount": {d.Digest.String()}, "from": {from}}),
			accept: []int{http.StatusCreated, http.StatusAccepted},
		}, d)
		if _, answered := errors.AsType[*Error](err); answered && !isBusy(err) {
			refusal, err = err, nil
		}
		return err
	})
	switch {
	case isBusy(err) || errors.Is(err, content.ErrInvalid):
		refusal = err
	case err != nil:
		return nil, fmt.Errorf("mount blob %s from %s: %w", d.Digest, from, err)
	}
	if refusal != nil {
		return nil, fmt.Errorf("blob %s from %s: %w: %w", d.Digest, from, content.ErrNotMounted, refusal)
	}
	if opened == nil {
		return nil, nil
	}
	return opened, nil
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

func isBusy(err error) bool {
	status := statusOf(err)
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}
