package registry

import (
	"context"
	"errors"
	"fmt"
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

// maxLooks bounds how often an offset is asked for until it stands still: while the old
// request dies, it still grows. It must be dead before the upload goes on: if two requests commit
// one upload, distribution 3.1 may say, until it is restarted, that the blob has 0 bytes.
const maxLooks = 100

// upload is an open upload session. Its location changes with every answer.
type upload struct {
	caller   *caller
	d        content.Descriptor
	location *url.URL
	ended    bool // committed or cancelled
	cut      bool // a body was not answered: the location may be an old one, and bytes still arrive
}

var _ content.ResumableUpload = (*upload)(nil)

// opening is the call that begins a session. The token that it gets is the one that the body
// goes with.
func (u *upload) opening() call {
	var query url.Values
	if algorithm := u.d.Digest.Algorithm(); algorithm != digest.Canonical { // "Pushing a blob in chunks"
		query = url.Values{"digest-algorithm": {algorithm.String()}}
	}
	c := u.call(http.MethodPost, u.caller.url("blobs/uploads/", query), http.StatusAccepted)
	c.traits.Opens = true
	return c
}

// call is a request of the session. The token that it gets lasts for a body.
func (u *upload) call(method string, to *url.URL, accept ...int) call {
	c := call{method: method, url: to, traits: u.caller.traits(limit.Write, u.d), access: u.caller.writing(), accept: accept}
	c.access.Lasting = true
	return c
}

func (u *upload) open(ctx context.Context, c call) error {
	if err := u.caller.once(ctx, c, u.moveOn); err != nil {
		return err
	}
	return u.keep(ctx)
}

// keep gives up a session that nobody waits for any more, with ctx's cause.
func (u *upload) keep(ctx context.Context) error {
	err := context.Cause(ctx)
	if err != nil {
		// The caller asked for no upload, and ctx's end is what to report.
		_ = u.giveUp(ctx, u.caller.host.client.wire.Limits.Linger)
	}
	return err
}

// moveOn takes the location of an answer, which may be at another host.
func (u *upload) moveOn(resp *http.Response) error {
	location, err := answer.Follow(resp.Request.URL, resp.Header.Get("Location"))
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

// Session implements [content.ResumableUpload]: it is the location.
func (u *upload) Session() string { return u.location.String() }

// Commit implements [content.Upload]: it is CommitFrom the first byte.
func (u *upload) Commit(ctx context.Context, s *content.Stream) error { return u.CommitFrom(ctx, 0, s) }

// CommitFrom implements [content.ResumableUpload] by one PUT of the bytes that are left, or by
// PATCHes and a PUT where that would be too large. The registry verifies them with those that
// it has.
func (u *upload) CommitFrom(ctx context.Context, offset int64, s *content.Stream) error {
	if err := content.CheckStream(s, u.d, offset); err != nil {
		return err
	}
	if u.ended {
		return fmt.Errorf("push blob %s: %w: the upload is over", u.d.Digest, content.ErrInvalid)
	}
	for !u.ended {
		size := u.caller.host.uploading.next(offset, u.d.Size-offset)
		p := part{upload: u, body: wire.NewBody(s, size), offset: offset, last: offset+size == u.d.Size}
		if err := p.send(ctx); err != nil {
			if !p.last && errors.Is(err, content.ErrUnsupported) && u.caller.host.uploading.partsRefused() {
				err = fmt.Errorf("%w: %w", content.ErrTooLarge, err)
			}
			if content.IsCorrupt(err) && !errors.Is(err, content.ErrTooLarge) { // whose code may be SIZE_INVALID
				_ = u.Cancel(ctx) // wrong bytes are of no use
			}
			return fmt.Errorf("push blob %s: %w", u.d.Digest, err)
		}
		offset += size
		u.ended = p.last
	}
	return nil
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
	status := answer.Status(cause)
	if status != 0 && status != http.StatusNotFound && status < http.StatusInternalServerError {
		return cause
	}
	if there, err := hasBlob(ctx, u.caller, u.d); there && err == nil {
		return nil
	}
	if stalled, ok := errors.AsType[*wire.StallError](cause); ok && stalled.Phase == wire.AwaitingAnswer {
		return fmt.Errorf("%w: %w", content.ErrUnconfirmed, cause)
	}
	return cause
}

// Offset implements [content.ResumableUpload]. Two answers in a row must agree. Where they
// are unclear (0-0 is one byte or none), a new session takes the place of the old one and
// the offset is 0.
func (u *upload) Offset(ctx context.Context) (int64, error) {
	offset, told, err := u.settled(ctx)
	if err != nil {
		return 0, fmt.Errorf("offset of blob %s: %w", u.d.Digest, err)
	}
	if !told {
		return 0, u.restart(ctx)
	}
	return offset, nil
}

// settled looks until two answers in a row agree: while a request that was cut is dying at
// the registry, the offset still grows.
func (u *upload) settled(ctx context.Context) (offset int64, told bool, err error) {
	const unknown, unclear = -2, -1
	last := int64(unknown)
	for range maxLooks {
		offset, told, err = u.look(ctx)
		if err != nil {
			return 0, false, err
		}
		if !told || offset > u.d.Size {
			offset, told = unclear, false
		}
		if offset == last {
			break
		}
		last = offset
		if err := retry.Sleep(ctx, u.caller.host.client.limits.settle); err != nil {
			return 0, false, err
		}
	}
	return offset, told, nil
}

// look asks the session once how many bytes it has. The registry gives a new location with
// each answer, and the old ones are good no more.
func (u *upload) look(ctx context.Context) (offset int64, told bool, err error) {
	c := u.call(http.MethodGet, u.location, http.StatusNoContent, http.StatusAccepted, http.StatusOK)
	err = u.caller.once(ctx, c, func(resp *http.Response) error {
		offset, told = answer.Offset(resp)
		return u.moveOnIfTold(resp)
	})
	return offset, told, err
}

func (u *upload) restart(ctx context.Context) error {
	old := &upload{caller: u.caller, d: u.d, location: u.location}
	_ = old.Cancel(ctx)
	return u.open(ctx, u.opening())
}

// Cancel implements [content.Upload] by DELETE. It has a time of its own, two seconds, since
// the caller's has often ended. A session that cannot be removed in it is left to the
// registry, which purges it.
func (u *upload) Cancel(ctx context.Context) error {
	return u.giveUp(ctx, u.caller.host.client.limits.cancel)
}

// giveUp removes the session, if that can be done within patience.
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
		return nil // gone, or it will be when the registry cleans up
	}
	if err != nil {
		return fmt.Errorf("cancel the upload of blob %s: %w", u.d.Digest, err)
	}
	return nil
}

// remove sends the DELETE. Distribution takes it at the newest location only, else it is a
// 416, and a body that was cut has made ours an old one. Removed while what was under way of
// that body still arrives, the session would come back; so there is a pause before each look.
func (u *upload) remove(ctx context.Context) error {
	if !u.cut {
		if err := u.drop(ctx); !isOldLocation(err) {
			return err
		}
	}
	var err error
	for _, pause := range u.caller.host.client.limits.dying {
		if err := retry.Sleep(ctx, pause); err != nil {
			return err
		}
		if _, _, err := u.look(ctx); errors.Is(err, content.ErrNotFound) {
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
