package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

var _ content.TagFetcher = (*Repository)(nil)

// accept names schema 1 too: registries that have nothing else then say so, and we can.
func accept(mediaType string) http.Header {
	types := append(content.ManifestMediaTypes(), content.MediaTypeSchema1, content.MediaTypeSchema1Signed)
	if content.CheckMediaType(mediaType) == nil {
		types = append(types, mediaType)
	}
	return http.Header{"Accept": {strings.Join(types, ", ")}}
}

// Resolve implements [content.Resolver] by HEAD, and by GET where the answer to HEAD does
// not say enough.
func (r *Repository) Resolve(ctx context.Context, reference string) (content.Descriptor, error) {
	if err := r.check(reference); err != nil {
		return content.Descriptor{}, err
	}
	return fromAny(ctx, r, func(r *Repository) (content.Descriptor, error) {
		d, told, err := r.head(ctx, r.ask, reference)
		if err == nil && !told || errors.Is(err, content.ErrUnsupported) {
			return r.readAndDescribe(ctx, reference)
		}
		return d, err
	})
}

func (r *Repository) manifestCall(method, reference, mediaType string) call {
	in := r.reading()
	in.pull = method == http.MethodGet && r.host.countsPulls.Load()
	return call{method: method, url: r.manifestURL(reference), header: accept(mediaType), intent: in}
}

// sender is how a call is sent: [Repository.ask], or [Repository.once].
type sender func(ctx context.Context, c call, read func(*http.Response) error) error

// head reports what it was told, and whether that is all one has to know.
func (r *Repository) head(ctx context.Context, send sender, reference string) (d content.Descriptor, told bool, err error) {
	asked := digest.Digest(reference)
	byDigest := asked.Validate() == nil
	err = send(ctx, r.manifestCall(http.MethodHead, reference, ""), func(resp *http.Response) error {
		d = content.Descriptor{MediaType: mediaTypeOf(resp), Size: resp.ContentLength}
		d.Digest = digest.Digest(resp.Header.Get("Docker-Content-Digest"))
		if d.Digest == "" && byDigest && content.IsManifest(d.MediaType) {
			d.Digest = asked
		}
		told = d.Digest.Validate() == nil && d.Size > 0 && d.MediaType != "" && !isWebPage(resp)
		if told && byDigest && d.Digest != asked {
			return fmt.Errorf("%s answers with %s: %w", redact(resp.Request.URL), d.Digest, content.ErrMismatch)
		}
		return nil
	})
	return d, told, err
}

func (r *Repository) readAndDescribe(ctx context.Context, reference string) (content.Descriptor, error) {
	d, _, err := r.read(ctx, reference)
	return d, err
}

// CountsPulls implements [content.TagFetcher]: it is Docker Hub, or an answer stated a quota.
func (r *Repository) CountsPulls() bool { return r.host.countsPulls.Load() }

// FetchTag implements [content.TagFetcher].
func (r *Repository) FetchTag(ctx context.Context, tag string) (content.Descriptor, []byte, error) {
	if err := r.check(tag); err != nil {
		return content.Descriptor{}, nil, err
	}
	type manifest struct {
		descriptor content.Descriptor
		raw        []byte
	}
	m, err := fromAny(ctx, r, func(r *Repository) (m manifest, err error) {
		m.descriptor, m.raw, err = r.read(ctx, tag)
		return m, err
	})
	return m.descriptor, m.raw, err
}

// read reads and describes a manifest, and checks it against the digest that it was asked
// for by or, of a tag, that the registry says it has.
func (r *Repository) read(ctx context.Context, reference string) (d content.Descriptor, raw []byte, err error) {
	err = r.askUnspoilt(ctx, r.manifestCall(http.MethodGet, reference, ""), func(resp *http.Response) error {
		if raw, err = readManifest(resp); err != nil {
			return err
		}
		d = content.NewDescriptor(mediaTypeOf(resp), raw)
		for _, said := range []string{reference, resp.Header.Get("Docker-Content-Digest")} {
			if asked := digest.Digest(said); asked.Validate() == nil {
				d.Digest = asked
				return content.VerifyBytes(raw, d)
			}
		}
		return nil
	})
	return d, raw, err
}

func readManifest(resp *http.Response) ([]byte, error) {
	if err := noWebPage(resp); err != nil {
		return nil, err
	}
	raw, err := readBounded(resp, content.MaxManifestSize)
	if err != nil {
		return nil, err
	}
	return raw, aManifest(resp, raw)
}
