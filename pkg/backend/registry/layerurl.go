package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// FetchURLs implements [content.URLFetcher] with one GET for each URL. The URLs come from the author
// of the image, so they are untrusted; [wire.Host.Layers] has the rules. Neither credentials nor client
// certificates are sent.
func (b blobs) FetchURLs(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	failure := fmt.Errorf("foreign layer %s has no URL: %w", d.Digest, content.ErrNotFound)
	for i, layerURL := range d.URLs[:min(len(d.URLs), content.MaxURLs)] {
		body, err := b.fetchURL(ctx, d, layerURL)
		if err == nil || ctx.Err() != nil {
			return body, err
		}
		if i == 0 || retry.Retryable(err) && !retry.Retryable(failure) {
			failure = fmt.Errorf("foreign layer %s: %w", d.Digest, err)
		}
	}
	return nil, failure
}

func (b blobs) fetchURL(ctx context.Context, d content.Descriptor, layerURL string) (io.ReadCloser, error) {
	u, err := url.Parse(layerURL)
	if err != nil { // err quotes the URL, which may hold a secret
		return nil, fmt.Errorf("its URL cannot be parsed: %w", content.ErrInvalid)
	}
	u.Fragment, u.RawFragment = "", ""
	req, err := wire.NewRequest(ctx, http.MethodGet, u, http.Header{"Accept-Encoding": {"identity"}},
		wire.Traits{Class: limit.Read, Item: d.Digest.String()})
	if err != nil {
		return nil, err
	}
	resp, err := b.caller.host.wire.Layers().RoundTrip(req)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		defer answer.Discard(resp)
		refusal := answer.New(resp)
		answer.MarkForeign(refusal) // the refusal does not concern an account at the registry
		return nil, refusal
	case resp.ContentLength >= 0 && resp.ContentLength != d.Size:
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s states %d bytes, not %d: %w", answer.Requested(resp), resp.ContentLength, d.Size, content.ErrMismatch)
	}
	return &blobBody{resp.Body, d.Digest}, nil
}
