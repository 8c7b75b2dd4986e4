package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/backend/registry/internal/answer"
	"github.com/regsync/regsync/pkg/backend/registry/internal/wire"
	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// maxStatusRequests bounds the requests for an offset until it is stable: it grows while the registry still reads the old
// request. That request must have ended before the upload continues: if two requests commit one upload, distribution
// 3.1 may report a blob of 0 bytes until it is restarted.
const maxStatusRequests = 100

// upload is an open upload session. Its location changes with every answer.
type upload struct {
	caller   *caller
	d        content.Descriptor
	location *url.URL
	ended    bool // committed or cancelled
	cut      bool // a body got no answer: the location may be outdated, and bytes may still arrive
}

var _ content.ResumableUpload = (*upload)(nil)

// opening returns the call that opens a session. Its token is also used for the body.
func (u *upload) opening() call {
	var query url.Values
	if algorithm := u.d.Digest.Algorithm(); algorithm != digest.Canonical { // "Pushing a blob in chunks"
		query = url.Values{"digest-algorithm": {algorithm.String()}}
	}
	c := u.call(http.MethodPost, u.caller.url("blobs/uploads/", query), http.StatusAccepted)
	c.traits.Opens = true
	return c
}

// call returns a request of the session. Its token lasts for a body.
func (u *upload) call(method string, to *url.URL, accept ...int) call {
	c := call{method: method, url: to, traits: u.caller.traits(limit.Write, u.d), access: u.caller.writing(), accept: accept}
	c.access.Lasting = true
	return c
}

func (u *upload) open(ctx context.Context, c call) error {
	if err := u.caller.once(ctx, c, u.setLocation); err != nil {
		return err
	}
	return u.keep(ctx)
}

// keep cancels the session if ctx has ended, and returns ctx's cause.
func (u *upload) keep(ctx context.Context) error {
	err := context.Cause(ctx)
	if err != nil {
		// The caller no longer wants the upload. The error to report is ctx's cause.
		_ = u.giveUp(ctx, u.caller.host.client.wire.Limits.Linger)
	}
	return err
}

// setLocation sets the location to that of an answer, which may be at another host.
func (u *upload) setLocation(resp *http.Response) error {
	location, err := answer.FollowAnswer(resp, resp.Header.Get("Location"))
	if err != nil {
		return fmt.Errorf("upload of blob %s: %w", u.d.Digest, err)
	}
	u.location = location
	return nil
}

// updateLocation sets the location to that of an answer. If the answer has none, the old one stays valid.
func (u *upload) updateLocation(resp *http.Response) error {
	if resp.Header.Get("Location") == "" {
		return nil
	}
	return u.setLocation(resp)
}

// Session implements [content.ResumableUpload]. It returns the location.
func (u *upload) Session() string { return u.location.String() }

// Commit implements [content.Upload] by CommitFrom with offset 0.
func (u *upload) Commit(ctx context.Context, s *content.Stream) error { return u.CommitFrom(ctx, 0, s) }

// CommitFrom implements [content.ResumableUpload] by one PUT of the remaining bytes, or by PATCHes and a PUT if that
// would be too large. The registry verifies them together with the bytes that it has.
func (u *upload) CommitFrom(ctx context.Context, offset int64, s *content.Stream) error {
	if err := content.CheckStream(s, u.d, offset); err != nil {
		return err
	}
	if u.ended {
		return fmt.Errorf("push blob %s: %w: the upload has ended", u.d.Digest, content.ErrInvalid)
	}
	for !u.ended {
		size := u.caller.host.uploading.next(offset, u.d.Size-offset)
		p := part{upload: u, body: wire.NewBody(s, size), offset: offset, last: offset+size == u.d.Size}
		if err := p.send(ctx); err != nil {
			if !p.last && errors.Is(err, content.ErrUnsupported) && u.caller.host.uploading.partsRefused() {
				err = fmt.Errorf("%w: %w", content.ErrTooLarge, err)
			}
			if content.IsCorrupt(err) && !errors.Is(err, content.ErrTooLarge) { // a size refusal may have the code SIZE_INVALID
				_ = u.Cancel(ctx) // wrong bytes are useless
			}
			return fmt.Errorf("push blob %s: %w", u.d.Digest, err)
		}
		offset += size
		u.ended = p.last
	}
	return nil
}

// commitURL keeps the registry's query unchanged: it may be signed.
func (u *upload) commitURL() *url.URL {
	to := *u.location
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += "digest=" + url.QueryEscape(u.d.Digest.String())
	return &to
}

// confirm checks by one HEAD whether a commit whose bytes were all sent succeeded although it failed with cause: the
// answer may be lost, late, or that to a second commit. It returns cause if the blob does not exist, and a
// [content.ErrUnconfirmed] if the registry may still be committing it.
func (u *upload) confirm(ctx context.Context, cause error) error {
	status := answer.Status(cause)
	if status != 0 && status != http.StatusNotFound && status < http.StatusInternalServerError {
		return cause
	}
	if there, err := (blobs{u.caller}).HasBlob(ctx, u.d); there && err == nil {
		return nil
	}
	if stalled, ok := errors.AsType[*wire.StallError](cause); ok && stalled.Phase == wire.AwaitingAnswer {
		return fmt.Errorf("%w: %w", content.ErrUnconfirmed, cause)
	}
	return cause
}

// Offset implements [content.ResumableUpload]. Two consecutive answers must agree. If they are unclear (0-0 means
// one byte or none), a new session replaces the old one and the offset is 0.
func (u *upload) Offset(ctx context.Context) (int64, error) {
	offset, known, err := u.stableOffset(ctx)
	if err != nil {
		return 0, fmt.Errorf("offset of blob %s: %w", u.d.Digest, err)
	}
	if !known {
		old := &upload{caller: u.caller, d: u.d, location: u.location}
		_ = old.Cancel(ctx)
		return 0, u.open(ctx, u.opening())
	}
	return offset, nil
}

// stableOffset requests the offset until two consecutive answers agree: it grows while the registry still reads a
// request that was cut.
func (u *upload) stableOffset(ctx context.Context) (offset int64, known bool, err error) {
	const unknown, unclear = -2, -1
	last := int64(unknown)
	for range maxStatusRequests {
		offset, known, err = u.status(ctx)
		if err != nil {
			return 0, false, err
		}
		if !known || offset > u.d.Size {
			offset, known = unclear, false
		}
		if offset == last {
			break
		}
		last = offset
		if err := retry.Sleep(ctx, u.caller.host.client.limits.statusPause); err != nil {
			return 0, false, err
		}
	}
	return offset, known, nil
}

// status requests the offset of the session once. Each answer has a new location, which invalidates the older ones.
func (u *upload) status(ctx context.Context) (offset int64, known bool, err error) {
	c := u.call(http.MethodGet, u.location, http.StatusNoContent, http.StatusAccepted, http.StatusOK)
	err = u.caller.once(ctx, c, func(resp *http.Response) error {
		offset, known = answer.Offset(resp)
		return u.updateLocation(resp)
	})
	return offset, known, err
}

// Cancel implements [content.Upload] by DELETE. It has its own timeout of two seconds, since the caller's context
// has often ended. A session that cannot be deleted in that time is left to the registry, which purges it.
func (u *upload) Cancel(ctx context.Context) error {
	return u.giveUp(ctx, u.caller.host.client.limits.cancel)
}

// giveUp deletes the session if that is possible within patience.
func (u *upload) giveUp(ctx context.Context, patience time.Duration) error {
	if u.ended {
		return nil
	}
	u.ended = true
	h := u.caller.host
	if h.client.options.Limiter.Down(h.wire.Registry()) || !h.uploading.mayCancel(u.caller.account) {
		return nil // the session is left to the registry
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	err := u.remove(ctx)
	h.uploading.cancelled(u.caller.account, err)
	if errors.Is(err, content.ErrNotFound) || errors.Is(err, content.ErrUnsupported) {
		return nil // the session is gone, or the registry will purge it
	}
	if err != nil {
		return fmt.Errorf("cancel the upload of blob %s: %w", u.d.Digest, err)
	}
	return nil
}

// remove sends the DELETE. Distribution accepts it only at the newest location and answers 416 otherwise; after a
// cut body the known location is outdated. If the DELETE arrives before the last bytes of that body, the session
// would come back, so there is a pause before each status request.
func (u *upload) remove(ctx context.Context) error {
	if !u.cut {
		if err := u.drop(ctx); !isOldLocation(err) {
			return err
		}
	}
	var err error
	for _, pause := range u.caller.host.client.limits.cancelPauses {
		if err := retry.Sleep(ctx, pause); err != nil {
			return err
		}
		if _, _, err := u.status(ctx); errors.Is(err, content.ErrNotFound) {
			return err
		}
		if err = u.drop(ctx); !isOldLocation(err) {
			return err
		}
	}
	return err
}

func isOldLocation(err error) bool {
	return answer.Status(err) == http.StatusRequestedRangeNotSatisfiable
}

func (u *upload) drop(ctx context.Context) error {
	c := u.call(http.MethodDelete, u.location, http.StatusNoContent, http.StatusAccepted, http.StatusOK)
	c.access.Lasting = false
	return u.caller.once(ctx, c, nothing)
}

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
		return answer.Scrub(resp.Request, fmt.Errorf("%s stored it as %.100s: %w", answer.Host(resp), got, content.ErrMismatch))
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
	switch status {
	case http.StatusRequestEntityTooLarge:
	case http.StatusRequestedRangeNotSatisfiable:
		has, _, failed := p.upload.status(ctx)
		if agreed := failed == nil && has == p.offset; !agreed {
			return nil
		}
	default:
		return nil
	}
	ranged := status == http.StatusRequestedRangeNotSatisfiable && p.isRanged()
	return &SizeError{Registry: h.wire.Name(), Size: size, Next: h.uploading.refused(size, ranged), Err: err}
}

// accepted handles the answer to a PATCH. A 201 would confirm a commit, which was not requested, and its location
// may be the blob's. So the client requests the status of the upload. AWS ECR is reported to state only the Range of
// the first part; the commit checks the whole blob.
func (p *part) accepted(ctx context.Context, resp *http.Response) error {
	u, end := p.upload, p.offset+p.body.Size()
	if !p.body.Sent() {
		return fmt.Errorf("%s answered before the end of the body: %w", answer.Host(resp), io.ErrUnexpectedEOF)
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
			answer.Host(resp), end, content.ErrUnsupported)
	}
	return nil
}

// isDigestInvalid reports whether a registry refuses a blob that was sent in parts because it does not match its
// digest: DIGEST_INVALID, or BLOB_UPLOAD_INVALID from olareg.
func isDigestInvalid(err error) bool {
	code := answer.Code(err)
	return answer.Status(err) == http.StatusBadRequest && (code == "DIGEST_INVALID" || code == "BLOB_UPLOAD_INVALID")
}
