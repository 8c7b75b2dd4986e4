package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
)

// blobs are the abilities of a repository that move blobs.
type blobs struct{ caller *caller }

// HasBlob implements [content.BlobPusher] by one HEAD. A blob of another size does not count.
func (b blobs) HasBlob(ctx context.Context, d content.Descriptor) (there bool, err error) {
	if err := content.CheckDescriptor(d); err != nil {
		return false, err
	}
	err = b.caller.once(ctx, call{
		method: http.MethodHead, url: b.caller.url("blobs/"+d.Digest.String(), nil),
		traits: b.caller.traits(limit.Write, d), access: b.caller.reading(),
		accept: []int{http.StatusOK, http.StatusNotFound}, size: d.Size,
	}, func(resp *http.Response) error {
		there = resp.StatusCode == http.StatusOK && (resp.ContentLength < 0 || resp.ContentLength == d.Size)
		return nil
	})
	return there, err
}

// FetchBlob implements [content.BlobFetcher] by one GET, and one at each mirror before. A stated length that is not d's is a
// [content.ErrMismatch] at once.
func (b blobs) FetchBlob(ctx context.Context, d content.Descriptor) (io.ReadCloser, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	return fromAny(ctx, b.caller, func(from *caller) (io.ReadCloser, error) {
		c := blobCall(from, d)
		c.access.Lasting = true
		resp, err := from.do(ctx, c)
		if err != nil {
			return nil, err
		}
		if resp.ContentLength >= 0 && resp.ContentLength != d.Size {
			_ = resp.Body.Close()
			return nil, fmt.Errorf("blob %s: %s: Content-Length is %d, want %d: %w",
				d.Digest, from.host.wire.Name(), resp.ContentLength, d.Size, content.ErrMismatch)
		}
		body := &blobBody{resp.Body, d.Digest}
		if from != b.caller {
			return &checked{Closer: body, stream: content.NewStream(body, d), mirror: from}, nil
		}
		return body, nil
	})
}

// FetchBlobRange implements [content.RangeFetcher].
func (b blobs) FetchBlobRange(ctx context.Context, d content.Descriptor, offset, length int64) (io.ReadCloser, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if offset < 0 || length <= 0 || length > d.Size-offset {
		return nil, fmt.Errorf("blob %s: %w: %d bytes from %d of %d", d.Digest, content.ErrInvalid, length, offset, d.Size)
	}
	return fromAny(ctx, b.caller, func(from *caller) (io.ReadCloser, error) {
		resp, err := openRange(ctx, from, d, fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
		if err != nil {
			return nil, err
		}
		if !answer.IsRange(resp, offset, length, d.Size) {
			_ = resp.Body.Close()
			return nil, fmt.Errorf("blob %s: range requests to %s: %w", d.Digest, from.host.wire.Name(), content.ErrUnsupported)
		}
		return &blobBody{&exactly{resp.Body, length}, d.Digest}, nil
	})
}

// ReadBlob implements [content.BlobReader].
func (b blobs) ReadBlob(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	return fromAny(ctx, b.caller, func(from *caller) (raw []byte, err error) {
		c := blobCall(from, d)
		c.traits = from.small()
		err = askWithRereads(ctx, from, c, func(resp *http.Response) error {
			raw, err = io.ReadAll(content.NewStream(resp.Body, d))
			return err
		})
		return raw, err
	})
}

// openRange sends one GET for a range of a blob: to the URL that the registry has redirected an earlier one to, as long
// as that is valid.
func openRange(ctx context.Context, from *caller, d content.Descriptor, wanted string) (*http.Response, error) {
	c := blobCall(from, d)
	c.access.Lasting, c.accept = true, []int{http.StatusOK, http.StatusPartialContent}
	c.header.Set("Range", wanted)
	blob, known := redirectedBlob{from.name, d.Digest}, &from.host.redirects
	if at := known.of(blob); at != nil {
		direct := c
		direct.url = at
		resp, err := from.do(ctx, direct)
		if err == nil || ctx.Err() != nil {
			return resp, err
		}
		if known.forget(blob, at); !expired(answer.Status(err)) {
			return nil, err // the next attempt requests a new URL
		}
	}
	resp, err := from.do(ctx, c)
	if err == nil && !from.host.wire.Owns(resp.Request.URL) {
		known.keep(blob, resp.Request.URL)
	}
	return resp, err
}

func blobCall(from *caller, d content.Descriptor) call {
	return call{
		method: http.MethodGet, url: from.url("blobs/"+d.Digest.String(), nil),
		header: http.Header{"Accept-Encoding": {"identity"}}, traits: from.traits(limit.Read, d), access: from.reading(),
		size: d.Size,
	}
}

// CheckWrite checks whether blobs can be written to the repository: it opens and cancels an upload, with its own
// slot and retries. The registry may create an empty repository, which it does not list.
func (b blobs) CheckWrite(ctx context.Context) error {
	// This sends no byte: a registry learns the digest only at the end of an upload.
	u := &upload{caller: b.caller, d: content.Descriptor{Digest: digest.FromString("regsync: may I write?"), Size: 1}}
	return b.caller.item(ctx, u.opening(), func(ctx context.Context, c call) error {
		if err := u.open(ctx, c); err != nil {
			return err
		}
		// Write access is confirmed. An account that may push is not always allowed to delete; the registry then
		// removes the upload itself.
		_ = u.Cancel(ctx)
		return nil
	})
}

// StartUpload implements [content.BlobPusher] by one POST. It returns a [content.ResumableUpload].
func (b blobs) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	u := &upload{caller: b.caller, d: d}
	if err := u.open(ctx, u.opening()); err != nil {
		return nil, err
	}
	return u, nil
}

// ResumeUpload implements [content.UploadResumer].
func (b blobs) ResumeUpload(ctx context.Context, d content.Descriptor, session string) (content.ResumableUpload, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	location, err := answer.Follow(b.caller.url("blobs/uploads/", nil), session)
	if err != nil {
		return nil, fmt.Errorf("resume the upload of blob %s: %w", d.Digest, err)
	}
	u := &upload{caller: b.caller, d: d, location: location}
	if _, _, err := u.status(ctx); err != nil {
		return nil, fmt.Errorf("resume the upload of blob %s: %w", d.Digest, err)
	}
	return u, nil
}

// Mount implements [content.Mounter] by one POST. Registries refuse mounts in many ways, so every answer other than
// 201 and 202 is a [content.ErrNotMounted], except 429 and 5xx, which refuse any request.
func (b blobs) Mount(ctx context.Context, d content.Descriptor, from string) (content.Upload, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if err := reference.CheckRepository(from); err != nil {
		return nil, fmt.Errorf("mount blob %s from %q: %w: %w: %w", d.Digest, from, content.ErrNotMounted, content.ErrInvalid, err)
	}
	u := &upload{caller: b.caller, d: d}
	c := u.opening()
	c.url.RawQuery = url.Values{"mount": {d.Digest.String()}, "from": {from}}.Encode()
	c.access.From, c.accept = from, []int{http.StatusCreated, http.StatusAccepted}
	mounted := false
	err := u.caller.once(ctx, c, func(resp *http.Response) error {
		if mounted = resp.StatusCode == http.StatusCreated; mounted {
			return nil
		}
		return u.setLocation(resp)
	})
	if err == nil && !mounted {
		err = u.keep(ctx)
	}
	switch status := answer.Status(err); {
	case err == nil && mounted:
		return nil, nil
	case err == nil:
		return u, nil
	case status == 0 && !errors.Is(err, content.ErrInvalid),
		status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return nil, fmt.Errorf("mount blob %s from %s: %w", d.Digest, from, err)
	case from == b.caller.name && (errors.Is(err, content.ErrDenied) || errors.Is(err, content.ErrQuota)):
		// The upload is refused, and not only the mount.
		return nil, fmt.Errorf("push blob %s: %w", d.Digest, err)
	default:
		return nil, fmt.Errorf("mount blob %s from %s: %w: %w", d.Digest, from, content.ErrNotMounted, err)
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

// exactly reads a number of bytes. Fewer are an error; more are not read.
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
		return nil, fmt.Errorf("invalid URL: %w", content.ErrInvalid)
	}
	u.Fragment, u.RawFragment = "", ""
	req, err := wire.NewRequest(ctx, http.MethodGet, u, http.Header{"Accept-Encoding": {"identity"}},
		wire.Traits{Class: limit.Read, Item: d.Digest.String()})
	if err != nil {
		return nil, err
	}
	resp, err := b.caller.host.wire.SendToLayer(req)
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
		return nil, fmt.Errorf("%s: Content-Length is %d, want %d: %w", answer.Host(resp), resp.ContentLength, d.Size, content.ErrMismatch)
	}
	return &blobBody{resp.Body, d.Digest}, nil
}

// maxRedirects bounds the blobs whose redirects are known.
const maxRedirects = 256

// redirects are the URLs to which a registry has redirected requests for blobs, so that each range of a blob costs one
// request. Such a URL is usually signed, and valid for some minutes. The zero value is ready.
type redirects struct {
	mu   sync.Mutex
	urls map[redirectedBlob]*url.URL
}

// redirectedBlob is a blob in a repository.
type redirectedBlob struct {
	repository string
	digest     digest.Digest
}

// of returns the URL of a blob; nil if none is known.
func (r *redirects) of(blob redirectedBlob) *url.URL {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.urls[blob]
}

func (r *redirects) keep(blob redirectedBlob, at *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.urls == nil {
		r.urls = map[redirectedBlob]*url.URL{}
	}
	if len(r.urls) >= maxRedirects {
		for other := range r.urls {
			delete(r.urls, other)
			break
		}
	}
	r.urls[blob] = at
}

// forget forgets the URL of a blob, unless another one is known meanwhile.
func (r *redirects) forget(blob redirectedBlob, at *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.urls[blob] == at {
		delete(r.urls, blob)
	}
}

// expired reports whether a status means that a URL is no longer valid. A new one is then requested from the registry. Object
// stores also answer 400 to an expired token.
func expired(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}
