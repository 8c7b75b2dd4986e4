package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/content"
)

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
	return p.answer, err
}

// manifestPush is the PUT of a manifest and its result.
type manifestPush struct {
	caller    *caller
	d         content.Descriptor
	raw       []byte
	reference string
	attempts  int
	answer    content.ManifestPushed
}

// attempt puts the manifest, unless an earlier attempt did so and its answer was lost: if tags are immutable, the
// registry would refuse a second PUT.
func (p *manifestPush) attempt(ctx context.Context, c call) error {
	p.attempts++
	if p.attempts > 1 && !hasSubject(p.raw) { // only the answer to a PUT has OCI-Subject
		there, complete, err := head(ctx, p.caller, p.caller.once, p.reference)
		if err == nil && complete && there.Digest == p.d.Digest {
			return nil
		}
		if err != nil && answer.Status(err) == 0 {
			return err // without an answer to HEAD, PUT would get none either
		}
	}
	confirmed := false
	err := p.explain(p.caller.once(ctx, c, func(resp *http.Response) (err error) {
		confirmed, err = p.accepted(resp)
		return err
	}))
	if err != nil || confirmed {
		return err
	}
	there, _, err := head(ctx, p.caller, p.caller.once, p.reference)
	if errors.Is(err, content.ErrNotFound) || err == nil && there.Digest != p.d.Digest && (there.Digest != "" || there.Size != p.d.Size) {
		err = &NotRegistryError{Host: p.caller.host.wire.Address(), URL: p.caller.host.wire.Redact(c.url), Problem: "the manifest was accepted, and is not there"}
	}
	return err
}

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

// accepted reports whether an answer confirms that the registry has the manifest: a 201 with its digest (OCI distribution
// specification, "Pushing Manifests"). Quay labels an empty answer as HTML.
func (p *manifestPush) accepted(resp *http.Response) (confirmed bool, err error) {
	got := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	named := got == p.d.Digest || describes(got, p.raw)
	switch {
	case got != "" && !named:
		page := answer.NotRegistry(resp)
		page.Problem = fmt.Sprintf("answered with digest %.100s instead of %s", got, p.d.Digest)
		return false, fmt.Errorf("%w: %w", page, content.ErrMismatch)
	case resp.StatusCode == http.StatusCreated && named:
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

// describes reports whether a digest, of any algorithm, is that of raw.
func describes(d digest.Digest, raw []byte) bool {
	return d.Validate() == nil && d == d.Algorithm().FromBytes(raw)
}

func hasSubject(raw []byte) bool {
	var m struct {
		Subject *content.Descriptor `json:"subject"`
	}
	return json.Unmarshal(raw, &m) == nil && m.Subject != nil
}
