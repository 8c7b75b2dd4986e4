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

// HasBlob implements [content.BlobPusher] by one HEAD. A blob of another size is not there.
func (r *Repository) HasBlob(ctx context.Context, d content.Descriptor) (bool, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return false, err
	}
	in := r.reading()
	in.upload, in.item = true, d.Digest.String()
	there := false
	err := r.once(ctx, call{
		method: http.MethodHead, url: r.url("blobs/"+d.Digest.String(), nil), intent: in,
		accept: []int{http.StatusOK, http.StatusNotFound}, size: d.Size,
	}, func(resp *http.Response) error {
		there = resp.StatusCode == http.StatusOK && (resp.ContentLength < 0 || resp.ContentLength == d.Size)
		return nil
	})
	return there, err
}

// FetchBlob implements [content.BlobFetcher] by one GET, and one at each mirror before. A stated length that is not d's is a
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

// ReadBlob implements [content.BlobReader].
func (r *Repository) ReadBlob(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	return fromAny(ctx, r, func(from *Repository) (raw []byte, err error) {
		err = from.askUnspoilt(ctx, from.blobCall(d, from.reading()), func(resp *http.Response) error {
			raw, err = io.ReadAll(content.NewStream(resp.Body, d))
			return err
		})
		return raw, err
	})
}

// stream opens a blob.
func (r *Repository) stream(ctx context.Context, d content.Descriptor, bytesRange string, accept ...int) (*http.Response, error) {
	in := r.reading()
	in.stream, in.lasting, in.item = true, true, d.Digest.String()
	c := r.blobCall(d, in)
	c.accept = accept
	if bytesRange != "" {
		c.header.Set("Range", bytesRange)
	}
	return r.host.do(ctx, c)
}

func (r *Repository) blobCall(d content.Descriptor, in intent) call {
	return call{
		method: http.MethodGet, url: r.url("blobs/"+d.Digest.String(), nil), intent: in,
		header: http.Header{"Accept-Encoding": {"identity"}}, size: d.Size,
	}
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
