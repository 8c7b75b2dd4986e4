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

// part is one body of an upload: all missing bytes, or some of them if all would be too large for one request.
type part struct {
	upload *upload
	body   *wire.Body
	offset int64 // in the blob
	last   bool  // the blob ends with it
}

// send sends the body and handles the answer. If the blob ends with this part, it is the answer to the commit.
func (p *part) send(ctx context.Context) error {
	if err := p.body.Prefetch(); err != nil {
		return err
	}
	u, c := p.upload, p.call()
	if err := u.caller.host.auth.Prepare(ctx, c.access); err != nil { // else a refused token would look like a refused body
		return err
	}
	resp, err := u.caller.do(ctx, c) //nolint:bodyclose // answer.Discard closes it
	p.body.Close()                   // before the location changes: readers of the stream may call Session
	u.cut = err != nil && answer.Status(err) == 0
	if err != nil {
		return p.failed(ctx, err)
	}
	defer answer.Discard(resp)
	if p.body.Sent() {
		u.caller.host.uploading.accepted(p.body.Size(), p.isRanged())
	}
	if !p.last {
		return p.accepted(ctx, resp)
	}
	// distribution verifies a sha512 and answers with the sha256.
	got := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if got != "" && got != u.d.Digest && (got.Validate() != nil || got.Algorithm() == u.d.Digest.Algorithm()) {
		return answer.Scrub(resp.Request, fmt.Errorf("%s stored it as %.100s: %w", answer.Requested(resp), got, content.ErrMismatch))
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

// isRanged reports whether the request has Content-Range. A PUT of the whole blob has none; distribution requires
// one if bytes precede the body.
func (p *part) isRanged() bool { return p.body.Size() > 0 && (p.offset > 0 || !p.last) }

// failed returns the error for a failed request, or nil if the blob exists nevertheless.
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
	return p.upload.confirm(ctx, err)
}

// sizeRefusal returns a [*SizeError] if err refuses the size of the body, otherwise nil. A 416 does so if the
// registry has exactly the bytes before the body.
func (p *part) sizeRefusal(ctx context.Context, err error) error {
	h, status, size := p.upload.caller.host, answer.Status(err), p.body.Size()
	if size == 0 || errors.Is(err, content.ErrQuota) {
		return nil
	}
	ranged := false
	switch status {
	case http.StatusRequestEntityTooLarge:
	case http.StatusRequestedRangeNotSatisfiable:
		has, _, failed := p.upload.status(ctx)
		if agreed := failed == nil && has == p.offset; !agreed {
			return nil
		}
		ranged = p.isRanged()
	default:
		return nil
	}
	return &SizeError{Registry: h.wire.Name(), Size: size, Next: h.uploading.refused(size, ranged), Err: err}
}

// accepted handles the answer to a PATCH. A 201 would confirm a commit, which was not requested, and its location
// may be the blob's. So the client requests the status of the upload. AWS ECR is reported to state only the Range of
// the first part; the commit checks the whole blob.
func (p *part) accepted(ctx context.Context, resp *http.Response) error {
	u, end := p.upload, p.offset+p.body.Size()
	if !p.body.Sent() {
		return fmt.Errorf("%s answered before the end of the body: %w", answer.Requested(resp), io.ErrUnexpectedEOF)
	}
	if resp.StatusCode != http.StatusCreated {
		return u.updateLocation(resp)
	}
	has, _, err := u.status(ctx)
	switch {
	case err != nil && !errors.Is(err, content.ErrNotFound):
		return err
	case err != nil || has == 0 || has > end:
		return fmt.Errorf("%s answered 201 to a part of a blob, but does not have its first %d bytes: parts are %w",
			answer.Requested(resp), end, content.ErrUnsupported)
	}
	return nil
}

// isDigestInvalid reports whether a registry refuses a blob that was sent in parts because it does not match its
// digest: DIGEST_INVALID, or BLOB_UPLOAD_INVALID from olareg.
func isDigestInvalid(err error) bool {
	refusal, ok := errors.AsType[*answer.Error](err)
	return ok && refusal.Status == http.StatusBadRequest &&
		(refusal.Code == "DIGEST_INVALID" || refusal.Code == "BLOB_UPLOAD_INVALID")
}
