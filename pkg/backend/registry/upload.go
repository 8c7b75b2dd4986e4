package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
)

// upload is an open upload session. Its location changes with every answer.
type upload struct {
	r        *Repository
	d        content.Descriptor
	location *url.URL
	ended    bool // committed or cancelled
	cut      bool // a body was not answered: the location may be an old one, and bytes still arrive
}

var _ content.ResumableUpload = (*upload)(nil)

// StartUpload implements [content.BlobPusher] by one POST. What it returns is a
// [content.ResumableUpload].
func (r *Repository) StartUpload(ctx context.Context, d content.Descriptor) (content.Upload, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	u := &upload{r: r, d: d}
	if err := u.open(ctx, u.opening()); err != nil {
		return nil, err
	}
	return u, nil
}

// opening is the call that begins a session. The token that it gets is the one that the body
// goes with.
func (u *upload) opening() call {
	in := u.r.uploading(u.d)
	in.lasting, in.opens = true, true
	var query url.Values
	if algorithm := u.d.Digest.Algorithm(); algorithm != digest.Canonical { // "Pushing a blob in chunks"
		query = url.Values{"digest-algorithm": {algorithm.String()}}
	}
	return call{
		method: http.MethodPost, url: u.r.url("blobs/uploads/", query), intent: in, accept: []int{http.StatusAccepted},
	}
}

func (u *upload) open(ctx context.Context, c call) error {
	if err := u.r.once(ctx, c, u.moveOn); err != nil {
		return err
	}
	return u.keep(ctx)
}

// keep gives up a session that nobody waits for any more, with ctx's cause.
func (u *upload) keep(ctx context.Context) error {
	err := context.Cause(ctx)
	if err != nil {
		// The caller asked for no upload, and ctx's end is what to report.
		_ = u.giveUp(ctx, u.r.host.client.limits.linger)
	}
	return err
}

// moveOn takes the location of an answer, which may be at another host.
func (u *upload) moveOn(resp *http.Response) error {
	location, err := follow(resp.Request.URL, resp.Header.Get("Location"))
	if err != nil {
		return fmt.Errorf("upload of blob %s: %w", u.d.Digest, err)
	}
	u.location = location
	return nil
}

// Commit implements [content.Upload] by one PUT of the whole blob.
func (u *upload) Commit(ctx context.Context, s *content.Stream) error { return u.CommitFrom(ctx, 0, s) }

func (u *upload) send(ctx context.Context, body *outgoing, offset int64) error {
	err := u.trySend(ctx, body, offset)
	if err == nil {
		u.ended = true
		return nil
	}
	if content.IsCorrupt(err) {
		_ = u.Cancel(ctx) // wrong bytes are of no use
	}
	return fmt.Errorf("push blob %s: %w", u.d.Digest, err)
}

func (u *upload) trySend(ctx context.Context, body *outgoing, offset int64) error {
	if u.ended {
		return fmt.Errorf("%w: the upload is over", content.ErrInvalid)
	}
	defer body.close()
	if err := body.prefetch(); err != nil {
		return err
	}
	in := u.r.uploading(u.d)
	in.stream, in.lasting, in.patience = true, true, u.r.host.client.limits.commitAnswer(u.d.Size)
	in.asked = time.Now()
	if err := u.r.host.authority.prepare(ctx, in); err != nil { // else its refusal looked like one of the body
		return err
	}
	resp, err := u.r.host.do(ctx, u.put(body, offset, in))
	u.cut = err != nil && statusOf(err) == 0
	if err != nil {
		if failure := body.failure(); failure != nil {
			return failure
		}
		if !body.given() {
			return expiredOnTheWay(err)
		}
		if offset > 0 && isDigestInvalid(err) {
			return fmt.Errorf("%w: %w", content.ErrMismatch, err)
		}
		return u.settle(ctx, err)
	}
	defer discard(resp)
	// distribution verifies a sha512 and answers with the sha256.
	got := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if got != "" && got != u.d.Digest && (got.Validate() != nil || got.Algorithm() == u.d.Digest.Algorithm()) {
		return fmt.Errorf("%s stored it as %s: %w", redact(resp.Request.URL), got, content.ErrMismatch)
	}
	return nil
}

// isDigestInvalid reports what registries say of a blob that was sent in parts and does not
// have its digest: DIGEST_INVALID, or (olareg) that the upload is.
func isDigestInvalid(err error) bool {
	refusal, ok := errors.AsType[*Error](err)
	return ok && refusal.Status == http.StatusBadRequest &&
		(refusal.Code == "DIGEST_INVALID" || refusal.Code == "BLOB_UPLOAD_INVALID")
}

func (u *upload) put(body *outgoing, offset int64, in intent) call {
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if offset > 0 && body.size > 0 {
		header.Set("Content-Range", fmt.Sprintf("%d-%d", offset, u.d.Size-1))
	}
	return call{
		method: http.MethodPut, url: u.commitURL(), header: header, stream: body, intent: in,
		accept: []int{http.StatusCreated, http.StatusNoContent, http.StatusOK},
	}
}

// commitURL leaves the query that the registry gave as it is: it may be signed.
func (u *upload) commitURL() *url.URL {
	to := *u.location
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += "digest=" + url.QueryEscape(u.d.Digest.String())
	return &to
}

// settle checks by one HEAD whether a commit succeeded whose bytes were all sent: the answer may
// be lost, late, or about a second commit. It returns cause if the blob does not exist, and a
// [content.ErrUnconfirmed] if the registry may still be committing it.
func (u *upload) settle(ctx context.Context, cause error) error {
	status := statusOf(cause)
	if status != 0 && status != http.StatusNotFound && status < http.StatusInternalServerError {
		return expiredOnTheWay(cause)
	}
	if there, err := u.r.HasBlob(ctx, u.d); there && err == nil {
		return nil
	}
	if stalled, ok := errors.AsType[*StallError](cause); ok && stalled.Phase == waitingForAnswer {
		return fmt.Errorf("%w: %w", content.ErrUnconfirmed, cause)
	}
	return cause
}

// expiredOnTheWay marks a 401 to the body of an upload that was opened with a good token.
func expiredOnTheWay(err error) error {
	if refusal, ok := errors.AsType[*Error](err); ok && refusal.Status == http.StatusUnauthorized {
		refusal.expired = refusal.Code != "DENIED"
	}
	return err
}
