package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	registryauth "github.com/regsync/regsync/pkg/backend/registry/internal/auth"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
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
			return fmt.Errorf("%s: got manifest %s: %w", answer.Host(resp), d.Digest, content.ErrMismatch)
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
	if !content.IsManifest(answer.MediaType(resp)) && !content.LooksLikeManifest(raw) {
		return nil, answer.NotRegistry(resp)
	}
	return raw, nil
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
			switch answer.MediaType(resp) {
			case content.MediaTypeSchema1, content.MediaTypeSchema1Signed: // its digest excludes the signatures
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

// Delete implements [content.Deleter]. The error of a registry that does not delete is [content.ErrUnsupported] with
// its own message, and that of one that does not delete tags a [DigestOnlyError].
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
	if answer.Status(err) == http.StatusBadRequest && answer.Code(err) == "DIGEST_INVALID" && digest.Digest(reference).Validate() != nil {
		err = &DigestOnlyError{m.caller.host.wire.Name(), err} // distribution before 3.0
	}
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// PushManifest implements [content.ManifestPusher].
func (m manifests) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return content.ManifestPushed{}, err
	}
	if err := content.VerifyBytes(raw, d); err != nil {
		return content.ManifestPushed{}, err
	}
	reference := tag
	if tag == "" {
		reference = d.Digest.String()
	} else if err := content.CheckTag(tag); err != nil {
		return content.ManifestPushed{}, fmt.Errorf("%s: %w", m.caller.Location(), err)
	}
	to := m.caller.manifestURL(reference)
	if tag != "" && d.Digest.Algorithm() != digest.Canonical {
		// The specification does not define yet how to push a tag with a digest that is not sha256; olareg
		// and regclient use this parameter. Other registries ignore it, and name the manifest by its sha256.
		to.RawQuery = url.Values{"digest": {d.Digest.String()}}.Encode()
	}
	p := manifestPush{caller: m.caller, d: d, raw: raw, reference: reference}
	err := m.caller.item(ctx, call{
		method: http.MethodPut, url: to, body: raw,
		header: http.Header{"Content-Type": {d.MediaType}}, traits: m.caller.small(), access: m.caller.writing(),
		accept: []int{http.StatusCreated, http.StatusOK, http.StatusNoContent, http.StatusAccepted},
	}, p.attempt)
	if late, ok := errors.AsType[*lateError](err); ok && ctx.Err() == nil {
		err = late.lasting
	}
	return p.answer, err
}

// manifestPush is the PUT of a manifest and its result.
type manifestPush struct {
	caller    *caller
	d         content.Descriptor
	raw       []byte
	reference string
	attempts  int
	accepted  bool // but not confirmed yet
	answer    content.ManifestPushed
}

// attempt puts the manifest, unless an earlier attempt did so and its answer was lost: if tags are immutable, the
// registry would refuse a second PUT.
func (p *manifestPush) attempt(ctx context.Context, c call) error {
	p.attempts++
	if p.accepted {
		return p.confirm(ctx, p.reference)
	}
	if p.attempts > 1 && !hasSubject(p.raw) { // only the answer to a PUT has OCI-Subject
		there, _, err := head(ctx, p.caller, p.caller.once, p.reference)
		if p.is(there.Digest) {
			return nil
		}
		if err != nil && answer.Status(err) == 0 {
			return err // without an answer to HEAD, PUT would get none either
		}
	}
	_, interrupted := p.caller.host.interrupted.Load(p.d.Digest)
	if interrupted && p.reference != p.d.Digest.String() {
		if err := p.pushUntagged(ctx, c); err != nil {
			return err
		}
	}
	confirmed, err := p.put(ctx, c)
	switch {
	case err != nil:
		return err
	case interrupted:
		return p.confirmReadable(ctx, p.reference)
	case confirmed:
		return nil
	}
	p.accepted = true
	return p.confirm(ctx, p.reference)
}

// put sends the manifest once, and reports whether the answer confirms that the registry has it.
func (p *manifestPush) put(ctx context.Context, c call) (confirmed bool, err error) {
	err = p.caller.once(ctx, c, func(resp *http.Response) (err error) {
		confirmed, err = p.read(resp)
		return err
	})
	explained := p.explain(err)
	if _, refused := errors.AsType[*LayerURLsError](explained); refused { // by a 500, too
		p.caller.host.interrupted.Delete(p.d.Digest)
	} else if isInterruption(err) {
		p.caller.host.interrupted.Store(p.d.Digest, true)
	}
	return confirmed, explained
}

// isInterruption reports whether a registry, or what is behind a proxy, may have begun to store what a failed request sent.
func isInterruption(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	_, broken := errors.AsType[*wire.ConnectionError](err)
	return broken || slices.Contains([]int{
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout,
	}, answer.Status(err))
}

// pushUntagged pushes, by its digest, a manifest whose earlier PUT was interrupted, so that a tag does not move to a manifest
// that the registry cannot read. A distribution 2.8 that is killed during a PUT may keep an empty file as the manifest. It
// accepts the next PUT, does not write the file again, and answers 500 to each GET. A registry that takes or
// serves manifests only by tag is checked after the PUT of the tag.
func (p *manifestPush) pushUntagged(ctx context.Context, c call) error {
	c.url = p.caller.manifestURL(p.d.Digest.String())
	if _, err := p.put(ctx, c); err != nil {
		if refusal := answer.Status(err); refusal >= http.StatusBadRequest && refusal < http.StatusInternalServerError {
			return nil
		}
		return err
	}
	err := p.confirmReadable(ctx, p.d.Digest.String())
	if _, late := errors.AsType[*lateError](err); late {
		return nil
	}
	return err
}

// confirmReadable confirms a manifest whose earlier PUT was interrupted. An account that may not read it takes the
// registry's word for it.
func (p *manifestPush) confirmReadable(ctx context.Context, reference string) error {
	err := p.confirm(ctx, reference)
	_, unreadable := errors.AsType[*UnconfirmedError](err)
	switch {
	case err == nil:
		p.caller.host.interrupted.Delete(p.d.Digest)
		return nil
	case unreadable:
		return nil
	case answer.Status(err) == http.StatusInternalServerError:
		return fmt.Errorf("the registry accepts the manifest but cannot read it, so its storage may be damaged: %w", err)
	}
	return err
}

// is reports whether a digest in an answer is that of the manifest. A registry may use another algorithm.
func (p *manifestPush) is(got digest.Digest) bool {
	return got == p.d.Digest || got.Validate() == nil && got == got.Algorithm().FromBytes(p.raw)
}

// confirm requests a manifest that was accepted: by HEAD, and by GET if the answer to HEAD is incomplete.
func (p *manifestPush) confirm(ctx context.Context, reference string) error {
	there, complete, err := head(ctx, p.caller, p.caller.once, reference)
	confirmed := p.is(there.Digest)
	if !confirmed && (err == nil && !complete || errors.Is(err, content.ErrUnsupported)) {
		get := manifestCall(p.caller, http.MethodGet, reference, p.d.MediaType)
		err = p.caller.once(ctx, get, func(resp *http.Response) error {
			raw, err := manifestIn(resp, content.MaxManifestSize)
			confirmed = err == nil && bytes.Equal(raw, p.raw)
			return err
		})
	}
	switch {
	case confirmed:
		return nil
	case err == nil, errors.Is(err, content.ErrNotFound), errors.Is(err, content.ErrMismatch):
		h := p.caller.host.wire
		return &lateError{&NotRegistryError{
			Host: h.Address(), URL: h.Redact(p.caller.manifestURL(reference)), Problem: "the manifest was accepted, but cannot be found",
		}}
	case answer.IsRefusal(err):
		return &UnconfirmedError{p.caller.host.wire.Name(), err}
	}
	return err
}

// lateError says that a manifest was accepted and is not there yet, because a replica may lag behind. It is retried;
// the last one is replaced by lasting.
type lateError struct{ lasting *NotRegistryError }

func (e *lateError) Error() string { return e.lasting.Error() }

// HTTPStatus tells package retry to ask again.
func (e *lateError) HTTPStatus() int { return http.StatusServiceUnavailable }

// explain adds to a refusal what is unusual about the manifest. Distribution answers 500 UNKNOWN to the URLs of
// foreign layers, as it does if its storage fails. A second such answer counts as a refusal, and after that so does
// the first one for any manifest.
func (p *manifestPush) explain(err error) error {
	refusal, ok := errors.AsType[*answer.Error](err)
	if !ok {
		return err
	}
	if strings.HasPrefix(refusal.Message, "unknown manifest class") {
		return &ArtifactError{p.caller.host.wire.Name(), err}
	}
	m, invalid := content.ParseManifest(p.d, p.raw)
	if invalid != nil {
		return err
	}
	withURLs := slices.ContainsFunc(m.Layers, func(layer content.Descriptor) bool { return len(layer.URLs) > 0 })
	refusesURLs := &p.caller.host.refusesURLs
	switch {
	case m.IsIndex() && len(m.Layers) > 0 && refusesManifest(refusal):
		return &BlobsInIndexError{p.caller.host.wire.Name(), err}
	case !withURLs:
		return err
	case refusal.Status == http.StatusInternalServerError && refusal.Code == "UNKNOWN":
		if p.attempts > 1 {
			refusesURLs.observe(factLife)
		}
		if !refusesURLs.holds() {
			return err
		}
	case !refusesManifest(refusal) || refusal.Code == "MANIFEST_BLOB_UNKNOWN":
		return err
	}
	return &LayerURLsError{p.caller.host.wire.Name(), err}
}

// refusesManifest reports whether a refusal is about the manifest itself.
func refusesManifest(refusal *answer.Error) bool {
	return slices.Contains([]int{
		http.StatusBadRequest, http.StatusNotFound, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
	}, refusal.Status)
}

// read reads a good answer to PUT, and reports whether it confirms that the registry has the manifest: a 201 with its
// digest (OCI distribution specification, "Pushing Manifests"). Quay labels an empty answer as HTML.
func (p *manifestPush) read(resp *http.Response) (confirmed bool, err error) {
	got := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	switch {
	case got != "" && !p.is(got):
		page := answer.NotRegistry(resp)
		page.Problem = fmt.Sprintf("answered with digest %.100s instead of %s", got, p.d.Digest)
		return false, fmt.Errorf("%w: %w", page, content.ErrMismatch)
	case resp.StatusCode == http.StatusCreated && got != "":
		confirmed = true
	case answer.IsWebPage(resp):
		if n, _ := io.CopyN(io.Discard, resp.Body, 1); n > 0 {
			return false, answer.NotRegistry(resp)
		}
	}
	if subject := digest.Digest(resp.Header.Get("OCI-Subject")); subject.Validate() == nil && hasSubject(p.raw) {
		p.answer.Subject = subject
	}
	return confirmed, nil
}

func hasSubject(raw []byte) bool {
	var m struct {
		Subject *content.Descriptor `json:"subject"`
	}
	return json.Unmarshal(raw, &m) == nil && m.Subject != nil
}
