package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// part is one body of an upload: all that the registry lacks, or some of it where all would be
// too large for one request.
type part struct {
	upload *upload
	body   *outgoing
	offset int64 // in the blob
}

// send sends the body and takes the answer: that to the commit, if the blob ends with it.
func (p *part) send(ctx context.Context) error {
	if err := p.body.prefetch(); err != nil {
		return err
	}
	u := p.upload
	in := u.r.uploading(u.d)
	in.stream, in.lasting, in.asked = true, true, time.Now()
	if err := u.r.host.authority.prepare(ctx, in); err != nil { // else its refusal looked like one of the body
		return err
	}
	resp, err := u.r.host.do(ctx, p.call(in))
	p.body.close() // before the location changes: who reads the stream may ask for the Session
	u.cut = err != nil && statusOf(err) == 0
	if err != nil {
		return p.failed(ctx, err)
	}
	defer discard(resp)
	if !p.body.last {
		return p.taken(ctx, resp)
	}
	// distribution verifies a sha512 and answers with the sha256.
	got := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if got != "" && got != u.d.Digest && (got.Validate() != nil || got.Algorithm() == u.d.Digest.Algorithm()) {
		return fmt.Errorf("%s stored it as %s: %w", redact(resp.Request.URL), got, content.ErrMismatch)
	}
	return nil
}

// call is a PATCH, or the PUT that commits.
func (p *part) call(in intent) call {
	u := p.upload
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if p.isRanged() {
		header.Set("Content-Range", fmt.Sprintf("%d-%d", p.offset, p.offset+p.body.size-1))
	}
	c := call{
		method: http.MethodPatch, url: u.location, header: header, stream: p.body, intent: in,
		accept: []int{http.StatusAccepted, http.StatusNoContent, http.StatusOK, http.StatusCreated},
	}
	if p.body.last {
		c.method, c.url = http.MethodPut, u.commitURL()
		c.accept = []int{http.StatusCreated, http.StatusNoContent, http.StatusOK}
		c.intent.patience = u.r.host.client.limits.commitAnswer(u.d.Size)
	}
	return c
}

// isRanged reports whether the request has Content-Range. A PUT of the whole blob has none;
// distribution wants one where bytes precede the body.
func (p *part) isRanged() bool { return p.body.size > 0 && (p.offset > 0 || !p.body.last) }

// failed is what a failure of the request means; nil if the blob is there all the same.
func (p *part) failed(ctx context.Context, err error) error {
	if failure := p.body.failure(); failure != nil {
		return failure
	}
	if refusal := p.sizeRefusal(ctx, err); refusal != nil {
		return refusal
	}
	switch {
	case !p.body.last:
		return fmt.Errorf("in parts of %d bytes, since larger requests were refused: %w", p.body.size, expiredOnTheWay(err))
	case !p.body.given():
		return expiredOnTheWay(err)
	case p.offset > 0 && isDigestInvalid(err):
		return fmt.Errorf("%w: %w", content.ErrMismatch, err)
	}
	return p.upload.settle(ctx, err)
}

// sizeRefusal is a refusal for the size of the body; nil if err is none. A 416 is one if the
// registry has exactly the bytes before the body.
func (p *part) sizeRefusal(ctx context.Context, err error) error {
	h, status, size := p.upload.r.host, statusOf(err), p.body.size
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
	return &SizeError{Registry: h.name, Size: size, Next: h.sizes.refused(size, ranged), Err: err}
}

// taken handles the answer to a PATCH. A 201 would confirm a commit, which was not requested, and its
// location may be the blob's. The registry is therefore asked how much of the upload it has. AWS ECR is
// reported to say what the first part brought, whatever came after it; the commit checks the whole blob.
func (p *part) taken(ctx context.Context, resp *http.Response) error {
	u, end := p.upload, p.offset+p.body.size
	if !p.body.given() {
		return fmt.Errorf("%s answered before the end of the body: %w", redact(resp.Request.URL), io.ErrUnexpectedEOF)
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
			redact(resp.Request.URL), end, content.ErrUnsupported)
	}
	return nil
}
