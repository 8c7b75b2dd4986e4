package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// FetchManifest implements [content.ManifestFetcher].
func (r *Repository) FetchManifest(ctx context.Context, d content.Descriptor) ([]byte, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > content.MaxManifestSize {
		return nil, fmt.Errorf("manifest %s: %w: %d bytes exceed the limit of %d",
			d.Digest, content.ErrInvalid, d.Size, content.MaxManifestSize)
	}
	return fromAny(ctx, r, func(r *Repository) (raw []byte, err error) {
		err = r.askUnspoilt(ctx, r.manifestCall(http.MethodGet, d.Digest.String(), d.MediaType), func(resp *http.Response) error {
			if isSchema1(mediaTypeOf(resp)) { // its digest is not that of its bytes
				return content.ErrSchema1
			}
			if raw, err = readManifest(resp); err != nil {
				return err
			}
			return content.VerifyBytes(raw, d)
		})
		return raw, err
	})
}

// maxRereads is how often a manifest is read again whose bytes did not match its digest.
const maxRereads = 2

// askUnspoilt asks again where the bytes have not the right digest, but are not too many: a bad line may
// have changed one, or a proxy the end of an answer without a length. A mirror is asked once.
func (r *Repository) askUnspoilt(ctx context.Context, c call, read func(*http.Response) error) error {
	for reads := 0; ; reads++ {
		err := r.ask(ctx, c, read)
		spoilt, is := errors.AsType[*content.MismatchError](err)
		if !is || spoilt.GotDigest == "" || spoilt.GotSize > spoilt.Want.Size ||
			reads == maxRereads || r.mirror {
			return err
		}
	}
}

func isSchema1(mediaType string) bool {
	return mediaType == content.MediaTypeSchema1 || mediaType == content.MediaTypeSchema1Signed
}

// PushManifest implements [content.ManifestPusher].
func (r *Repository) PushManifest(ctx context.Context, d content.Descriptor, raw []byte, tag string) (content.ManifestPushed, error) {
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
		return content.ManifestPushed{}, fmt.Errorf("%s: %w", r.Location(), err)
	}
	to := r.manifestURL(reference)
	if tag != "" && d.Digest.Algorithm() != digest.Canonical {
		// The specification does not define yet how to push a tag with a digest that is not sha256; olareg
		// and regclient use this parameter. Other registries ignore it, and name the manifest by its sha256.
		to.RawQuery = url.Values{"digest": {d.Digest.String()}}.Encode()
	}
	p := manifestPush{r: r, d: d, raw: raw, reference: reference}
	err := r.item(ctx, call{
		method: http.MethodPut, url: to, body: raw,
		header: http.Header{"Content-Type": {d.MediaType}}, intent: r.writing(),
		accept: []int{http.StatusCreated, http.StatusOK, http.StatusNoContent, http.StatusAccepted},
	}, p.attempt)
	return p.answer, err
}

// manifestPush is a PUT and what the registry made of it.
type manifestPush struct {
	r         *Repository
	d         content.Descriptor
	raw       []byte
	reference string
	attempts  int
	answer    content.ManifestPushed
}

// attempt puts the manifest, unless an earlier attempt has, whose answer was lost: where
// tags are immutable, a second PUT would be refused.
func (p *manifestPush) attempt(ctx context.Context, c call) error {
	p.attempts++
	if p.attempts > 1 && !hasSubject(p.raw) { // the answer about a subject only comes with a PUT
		there, told, err := p.r.head(ctx, p.r.once, p.reference)
		if err == nil && told && there.Digest == p.d.Digest {
			return nil
		}
		if err != nil && statusOf(err) == 0 {
			return err // no answer: a PUT would get none either
		}
	}
	return p.explain(p.r.once(ctx, c, p.accepted))
}

// explain says what is unusual about a manifest that the registry refuses. Distribution answers 500
// UNKNOWN to the URLs of foreign layers, as it does when its storage fails: a second one is taken for
// a refusal, and from then on the first one, too.
func (p *manifestPush) explain(err error) error {
	answer, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	if strings.HasPrefix(answer.Message, "unknown manifest class") {
		return &ArtifactError{p.r.host.name, err}
	}
	m, invalid := content.ParseManifest(p.d, p.raw)
	if invalid != nil {
		return err
	}
	withURLs := slices.ContainsFunc(m.Layers, func(layer content.Descriptor) bool { return len(layer.URLs) > 0 })
	refusesURLs := &p.r.host.refusesURLs
	switch {
	case m.IsIndex() && len(m.Layers) > 0 && refusesManifest(answer):
		return &BlobsInIndexError{p.r.host.name, err}
	case !withURLs:
		return err
	case answer.Status == http.StatusInternalServerError && answer.Code == "UNKNOWN":
		if p.attempts > 1 {
			refusesURLs.Store(true)
		}
		if !refusesURLs.Load() {
			return err
		}
	case !refusesManifest(answer) || answer.Code == "MANIFEST_BLOB_UNKNOWN":
		return err
	}
	return &LayerURLsError{p.r.host.name, err}
}

// refusesManifest reports whether an answer is about the manifest itself.
func refusesManifest(answer *Error) bool {
	return slices.Contains([]int{
		http.StatusBadRequest, http.StatusNotFound, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
	}, answer.Status)
}

func (p *manifestPush) accepted(resp *http.Response) error {
	if got := digest.Digest(resp.Header.Get("Docker-Content-Digest")); got != "" && got != p.d.Digest && !describes(got, p.raw) {
		return fmt.Errorf("%s made %s of %s: %w", redact(resp.Request.URL), got, p.d.Digest, content.ErrMismatch)
	}
	if subject := digest.Digest(resp.Header.Get("OCI-Subject")); subject.Validate() == nil && hasSubject(p.raw) {
		p.answer.Subject = subject
	}
	return nil
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
