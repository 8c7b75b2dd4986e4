package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	registryauth "github.com/regsync/regsync/pkg/backend/registry/internal/auth"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// accept includes schema 1: a registry that has nothing else then answers with it, and the error can say so.
func accept(mediaType string) http.Header {
	types := append(content.ManifestMediaTypes(), content.MediaTypeSchema1, content.MediaTypeSchema1Signed)
	if content.CheckMediaType(mediaType) == nil {
		types = append(types, mediaType)
	}
	return http.Header{"Accept": {strings.Join(types, ", ")}}
}

// manifests are the abilities of a repository that read, write and delete manifests.
type manifests struct{ caller *caller }

// Resolve implements [content.Resolver] by HEAD, and by GET if the answer to HEAD is incomplete.
func (m manifests) Resolve(ctx context.Context, reference string) (content.Descriptor, error) {
	if err := m.caller.check(reference); err != nil {
		return content.Descriptor{}, err
	}
	return fromAny(ctx, m.caller, func(from *caller) (content.Descriptor, error) {
		d, complete, err := head(ctx, from, from.ask, reference)
		if err == nil && !complete || errors.Is(err, content.ErrUnsupported) {
			d, _, err = readManifest(ctx, from, reference)
		}
		return d, err
	})
}

func manifestCall(from *caller, method, reference, mediaType string) call {
	c := call{
		method: method, url: from.manifestURL(reference), header: accept(mediaType), traits: from.small(), access: from.reading(),
	}
	c.manifest = true
	if known := from.host.pulls.Load(); method == http.MethodGet && known != pullsFree {
		c.traits.Class = limit.Pull
		c.skipIfCounted = known == pullsUnknown && digest.Digest(reference).Validate() != nil
	}
	return c
}

// sender sends a call: [caller.ask] or [caller.once].
type sender func(ctx context.Context, c call, read func(*http.Response) error) error

// head returns the descriptor in the answer to HEAD, and whether it is complete.
func head(ctx context.Context, from *caller, send sender, reference string) (d content.Descriptor, complete bool, err error) {
	want := digest.Digest(reference)
	byDigest := want.Validate() == nil
	err = send(ctx, manifestCall(from, http.MethodHead, reference, ""), func(resp *http.Response) error {
		d = content.Descriptor{MediaType: answer.MediaType(resp), Size: resp.ContentLength}
		d.Digest = digest.Digest(resp.Header.Get("Docker-Content-Digest"))
		if d.Digest == "" && byDigest && content.IsManifest(d.MediaType) {
			d.Digest = want
		}
		complete = d.Digest.Validate() == nil && d.Size > 0 && d.MediaType != "" && !answer.IsWebPage(resp)
		if complete && byDigest && d.Digest != want {
			return fmt.Errorf("%s answers with %s: %w", answer.Requested(resp), d.Digest, content.ErrMismatch)
		}
		return nil
	})
	return d, complete, err
}

// CountsPulls implements [content.TagFetcher]. It is true for Docker Hub, and after an answer with a quota.
func (m manifests) CountsPulls() bool { return m.caller.host.countsPulls() }

// FetchTag implements [content.TagFetcher]. It returns a [content.ErrCountsPulls] if another request shows, while
// this one waits, that the registry counts pulls.
func (m manifests) FetchTag(ctx context.Context, tag string) (content.Descriptor, []byte, error) {
	if err := m.caller.check(tag); err != nil {
		return content.Descriptor{}, nil, err
	}
	var d content.Descriptor
	raw, err := fromAny(ctx, m.caller, func(from *caller) (raw []byte, err error) {
		d, raw, err = readManifest(ctx, from, tag)
		return raw, err
	})
	return d, raw, err
}

// readManifest reads and describes a manifest. It checks the bytes against the requested digest or, for a tag,
// against the digest that the registry states.
func readManifest(ctx context.Context, from *caller, reference string) (d content.Descriptor, raw []byte, err error) {
	err = askWithRereads(ctx, from, manifestCall(from, http.MethodGet, reference, ""), func(resp *http.Response) error {
		if raw, err = manifestIn(resp, content.MaxManifestSize); err != nil {
			return err
		}
		d = content.NewDescriptor(answer.MediaType(resp), raw)
		for _, stated := range []string{reference, resp.Header.Get("Docker-Content-Digest")} {
			if want := digest.Digest(stated); want.Validate() == nil {
				d.Digest = want
				return content.VerifyBytes(raw, d)
			}
		}
		return nil
	})
	return d, raw, err
}

func manifestIn(resp *http.Response, limit int64) ([]byte, error) {
	if err := answer.CheckDocument(resp); err != nil {
		return nil, err
	}
	raw, err := answer.Read(resp, limit)
	if err != nil {
		return nil, err
	}
	return raw, answer.CheckManifest(resp, raw)
}

// FetchManifest implements [content.ManifestFetcher].
func (m manifests) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > content.MaxManifestSize {
		return nil, fmt.Errorf("manifest %s: %w: %d bytes exceed the limit of %d",
			d.Digest, content.ErrInvalid, d.Size, content.MaxManifestSize)
	}
	return fromAny(ctx, m.caller, func(from *caller) (raw []byte, err error) {
		err = askWithRereads(ctx, from, manifestCall(from, http.MethodGet, d.Digest.String(), d.MediaType), func(resp *http.Response) error {
			if isSchema1(answer.MediaType(resp)) { // its digest excludes the signatures
				return content.ErrSchema1
			}
			limit := int64(content.MaxManifestSize)
			if d.Size > 0 {
				limit = d.Size + 1<<10 // a little more is a wrong digest, and not too large
			}
			if raw, err = manifestIn(resp, min(limit, content.MaxManifestSize)); err != nil {
				return err
			}
			return content.VerifyBytes(raw, d)
		})
		return raw, err
	})
}

// maxRereads is how often a manifest is read again whose bytes did not match its digest.
const maxRereads = 2

// askWithRereads sends a call again if the bytes do not match the digest, unless there are too many: a network error
// may have changed a byte, or a proxy truncated an answer without a length. A mirror gets one request.
func askWithRereads(ctx context.Context, from *caller, c call, read func(*http.Response) error) error {
	for reads := 0; ; reads++ {
		err := from.ask(ctx, c, read)
		mismatch, is := errors.AsType[*content.MismatchError](err)
		if !is || mismatch.GotDigest == "" || mismatch.GotSize > mismatch.Want.Size ||
			reads == maxRereads || from.mirror {
			return err
		}
	}
}

func isSchema1(mediaType string) bool {
	return mediaType == content.MediaTypeSchema1 || mediaType == content.MediaTypeSchema1Signed
}

// Delete implements [content.Deleter]. The error of a registry that does not delete is [content.ErrUnsupported] with
// its own message.
func (m manifests) Delete(ctx context.Context, reference string) error {
	if err := m.caller.check(reference); err != nil {
		return err
	}
	attempts := 0
	err := m.caller.item(ctx, call{
		method: http.MethodDelete, url: m.caller.manifestURL(reference), traits: m.caller.small(),
		access: registryauth.Access{Repository: m.caller.name, Need: registryauth.Repository(m.caller.name, "delete", "pull")},
		accept: []int{http.StatusAccepted, http.StatusOK, http.StatusNoContent},
	}, func(ctx context.Context, c call) error {
		attempts++
		err := m.caller.once(ctx, c, nothing)
		if attempts > 1 && errors.Is(err, content.ErrNotFound) {
			return nil // the answer to an earlier attempt was lost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", reference, err)
	}
	return nil
}
