package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

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

// moveOnIfTold takes the location of an answer that may have none, so that the old one stays good.
func (u *upload) moveOnIfTold(resp *http.Response) error {
	if resp.Header.Get("Location") == "" {
		return nil
	}
	return u.moveOn(resp)
}

// Commit implements [content.Upload]: it is CommitFrom the first byte.
func (u *upload) Commit(ctx context.Context, s *content.Stream) error { return u.CommitFrom(ctx, 0, s) }

func (u *upload) send(ctx context.Context, s *content.Stream, offset int64) error {
	err := u.trySend(ctx, s, offset)
	if err == nil {
		u.ended = true
		return nil
	}
	if content.IsCorrupt(err) && !errors.Is(err, content.ErrTooLarge) { // whose code may be SIZE_INVALID
		_ = u.Cancel(ctx) // wrong bytes are of no use
	}
	return fmt.Errorf("push blob %s: %w", u.d.Digest, err)
}

// trySend sends the rest of the blob: in one body, or in several where that would be too large.
func (u *upload) trySend(ctx context.Context, s *content.Stream, offset int64) error {
	if u.ended {
		return fmt.Errorf("%w: the upload is over", content.ErrInvalid)
	}
	for {
		body := newOutgoing(s, u.r.host.sizes.next(offset, u.d.Size-offset))
		p := part{upload: u, body: body, offset: offset}
		if err := p.send(ctx); err != nil || body.last {
			return err
		}
		offset += body.size
	}
}

// isDigestInvalid reports what registries say of a blob that was sent in parts and does not
// have its digest: DIGEST_INVALID, or (olareg) that the upload is.
func isDigestInvalid(err error) bool {
	refusal, ok := errors.AsType[*Error](err)
	return ok && refusal.Status == http.StatusBadRequest &&
		(refusal.Code == "DIGEST_INVALID" || refusal.Code == "BLOB_UPLOAD_INVALID")
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
