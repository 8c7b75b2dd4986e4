package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// HasBlob implements [content.BlobPusher] by HEAD. A blob of another size is not there.
func (r *Repository) HasBlob(ctx context.Context, d content.Descriptor) (bool, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return false, err
	}
	there := false
	err := r.ask(ctx, call{
		method: http.MethodHead, url: r.url("blobs/"+d.Digest.String(), nil), intent: r.reading(),
		accept: []int{http.StatusOK, http.StatusNotFound},
	}, func(resp *http.Response) error {
		there = resp.StatusCode == http.StatusOK && (resp.ContentLength < 0 || resp.ContentLength == d.Size)
		return nil
	})
	return there, err
}

// FetchBlob implements [content.BlobFetcher]. A stated length that is not d's is a
// [content.ErrMismatch] at once.
func (r *Repository) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	return fromAny(ctx, r, func(from *Repository) (io.ReadCloser, error) {
		resp, err := from.stream(ctx, d, "", http.StatusOK)
		if err != nil {
			return nil, err
		}
		if resp.ContentLength >= 0 && resp.ContentLength != d.Size {
			_ = resp.Body.Close()
			return nil, fmt.Errorf("blob %s: %s states %d bytes, not %d: %w",
				d.Digest, from.host.name, resp.ContentLength, d.Size, content.ErrMismatch)
		}
		body := &blobBody{resp.Body, d.Digest}
		if from != r {
			return from.suspect(body, d), nil
		}
		return body, nil
	})
}

// FetchBlobRange implements [content.RangeFetcher].
func (r *Repository) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if offset < 0 || length <= 0 || length > d.Size-offset {
		return nil, fmt.Errorf("blob %s: %w: %d bytes from %d of %d", d.Digest, content.ErrInvalid, length, offset, d.Size)
	}
	return fromAny(ctx, r, func(from *Repository) (io.ReadCloser, error) {
		wanted := fmt.Sprintf("%d-%d", offset, offset+length-1)
		resp, err := from.stream(ctx, d, "bytes="+wanted, http.StatusOK, http.StatusPartialContent)
		if err != nil {
			return nil, err
		}
		got := resp.Header.Get("Content-Range")
		exact := got == fmt.Sprintf("bytes %s/%d", wanted, d.Size) || got == "bytes "+wanted+"/*"
		if resp.StatusCode != http.StatusPartialContent || !exact || resp.ContentLength >= 0 && resp.ContentLength != length {
			_ = resp.Body.Close()
			return nil, fmt.Errorf("blob %s: ranges at %s: %w", d.Digest, from.host.name, content.ErrUnsupported)
		}
		return &blobBody{&exactly{resp.Body, length}, d.Digest}, nil
	})
}

// stream opens a blob. The token is had first, with the retries of a small request, so that
// the stream itself is one attempt.
func (r *Repository) stream(ctx context.Context, d content.Descriptor, bytesRange string, accept ...int) (*http.Response, error) {
	in := r.reading()
	in.stream, in.lasting = true, true
	if err := r.prepare(ctx, in); err != nil {
		return nil, err
	}
	header := http.Header{"Accept-Encoding": {"identity"}}
	if bytesRange != "" {
		header.Set("Range", bytesRange)
	}
	return r.host.do(ctx, call{
		method: http.MethodGet, url: r.url("blobs/"+d.Digest.String(), nil), header: header, intent: in, accept: accept,
	})
}

// blobBody names the blob in the errors of its stream.
type blobBody struct {
	io.ReadCloser
	digest digest.Digest
}

func (b *blobBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("read blob %s: %w", b.digest, err)
	}
	return n, err
}

// prepare has the token of a stream ready.
func (r *Repository) prepare(ctx context.Context, in intent) error {
	return again(ctx, r.retry, func(ctx context.Context) error { return r.host.authority.prepare(ctx, in) })
}

// exactly yields so many bytes: fewer are an error, more are left.
type exactly struct {
	io.ReadCloser
	left int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.ReadCloser.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
