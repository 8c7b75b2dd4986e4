package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
)

// part is one body of an upload: all that the registry lacks, or some of it where all would be
// too large for one request.
type part struct {
	upload *upload
	body   *wire.Body
	offset int64 // in the blob
	last   bool  // the blob ends with it
}

// send sends the body and takes the answer: that to the commit, if the blob ends with it.
func (p *part) send(ctx context.Context) error {
	if err := p.body.Prefetch(); err != nil {
		return err
	}
	u, c := p.upload, p.call()
	if err := u.caller.host.auth.Prepare(ctx, c.access); err != nil { // else its refusal looked like one of the body
		return err
	}
	resp, err := u.caller.do(ctx, c) //nolint:bodyclose // answer.Discard closes it
	p.body.Close()                   // before the location changes: who reads the stream may ask for the Session
	u.cut = err != nil && answer.Status(err) == 0
	if err != nil {
		return p.failed(ctx, err)
	}
	defer answer.Discard(resp)
	u.caller.host.uploading.taken(p.body.Size(), p.isRanged())
	if !p.last {
		return p.taken(ctx, resp)
	}
	// distribution verifies a sha512 and answers with the sha256.
	got := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if got != "" && got != u.d.Digest && (got.Validate() != nil || got.Algorithm() == u.d.Digest.Algorithm()) {
		return answer.Scrub(resp.Request, fmt.Errorf("%s stored it as %s: %w", answer.Redact(resp.Request.URL), got, content.ErrMismatch))
	}
	return nil
}

// call is a PATCH, or the PUT that commits.
func (p *part) call() call {
	u := p.upload
	c := u.call(http.MethodPatch, u.location, http.StatusAccepted, http.StatusNoContent, http.StatusOK, http.StatusCreated)
	c.blob, c.access.Since = p.body, time.Now()
	c.header = http.Header{"Content-Type": {"application/octet-stream"}}
	if p.isRanged() {
		c.header.Set("Content-Range", fmt.Sprintf("%d-%d", p.offset, p.offset+p.body.Size()-1))
	}
	if p.last {
		c.method, c.url = http.MethodPut, u.commitURL()
		c.accept = []int{http.StatusCreated, http.StatusNoContent, http.StatusOK}
		// Object stores copy the blob before they answer.
		c.traits.Patience = u.caller.host.client.wire.Limits.Answer + time.Duration(u.d.Size/10_000_000)*time.Second
	}
	return c
}

// isRanged reports whether the request has Content-Range. A PUT of the whole blob has none;
// distribution wants one where bytes precede the body.
func (p *part) isRanged() bool { return p.body.Size() > 0 && (p.offset > 0 || !p.last) }

// failed is what a failure of the request means; nil if the blob is there all the same.
func (p *part) failed(ctx context.Context, err error) error {
	if failure := p.body.Err(); failure != nil {
		return failure
	}
	if refusal := p.sizeRefusal(ctx, err); refusal != nil {
		return refusal
	}
	switch {
	case !p.last:
		return fmt.Errorf("in parts of %d bytes, since larger requests were refused: %w", p.body.Size(), err)
	case !p.body.Sent():
		return err
	case p.offset > 0 && isDigestInvalid(err):
		return fmt.Errorf("%w: %w", content.ErrMismatch, err)
	}
	return p.upload.settle(ctx, err)
}

// sizeRefusal is a refusal for the size of the body; nil if err is none. A 416 is one if the
// registry has exactly the bytes before the body.
func (p *part) sizeRefusal(ctx context.Context, err error) error {
	h, status, size := p.upload.caller.host, answer.Status(err), p.body.Size()
	if size == 0 {
		return nil
	}
	ranged := false
	switch status {
	case http.StatusRequestEntityTooLarge:
	case http.StatusRequestedRangeNotSatisfiable:
		has, _, failed := p.upload.look(ctx)
		if agreed := failed == nil && has == p.offset; !agreed {
			return nil
		}
		ranged = p.isRanged()
	default:
		return nil
	}
	return &SizeError{Registry: h.wire.Name(), Size: size, Next: h.uploading.refused(size, ranged), Err: err}
}

// taken handles the answer to a PATCH. A 201 would confirm a commit, which was not requested, and its
// location may be the blob's. The registry is therefore asked how much of the upload it has. AWS ECR is
// reported to say what the first part brought, whatever came after it; the commit checks the whole blob.
func (p *part) taken(ctx context.Context, resp *http.Response) error {
	u, end := p.upload, p.offset+p.body.Size()
	if !p.body.Sent() {
		return fmt.Errorf("%s answered before the end of the body: %w", answer.Redact(resp.Request.URL), io.ErrUnexpectedEOF)
	}
	if resp.StatusCode != http.StatusCreated {
		return u.moveOnIfTold(resp)
	}
	has, _, err := u.look(ctx)
	switch {
	case err != nil && !errors.Is(err, content.ErrNotFound):
		return err
	case err != nil || has == 0 || has > end:
		return fmt.Errorf("%s answered 201 to a part of a blob, and has not the %d bytes so far: parts are %w",
			answer.Redact(resp.Request.URL), end, content.ErrUnsupported)
	}
	return nil
}

// isDigestInvalid reports what registries say of a blob that was sent in parts and does not
// have its digest: DIGEST_INVALID, or (olareg) that the upload is.
func isDigestInvalid(err error) bool {
	refusal, ok := errors.AsType[*answer.Error](err)
	return ok && refusal.Status == http.StatusBadRequest &&
		(refusal.Code == "DIGEST_INVALID" || refusal.Code == "BLOB_UPLOAD_INVALID")
}
