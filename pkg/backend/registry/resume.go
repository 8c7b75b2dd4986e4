package registry

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// maxLooks bounds how often an offset is asked for until it stands still: while the old
// request dies, it still grows. It must be dead before the upload goes on: if two requests commit
// one upload, distribution 3.1 may say, until it is restarted, that the blob has 0 bytes.
const maxLooks = 100

// Session implements [content.ResumableUpload]: it is the location.
func (u *upload) Session() string { return u.location.String() }

// ResumeUpload implements [content.UploadResumer].
func (r *Repository) ResumeUpload(ctx context.Context, d content.Descriptor, session string) (content.ResumableUpload, error) {
	if err := content.CheckDescriptor(d); err != nil {
		return nil, err
	}
	location, err := follow(r.url("blobs/uploads/", nil), session)
	if err != nil {
		return nil, fmt.Errorf("session of blob %s: %w", d.Digest, err)
	}
	u := &upload{r: r, d: d, location: location}
	if _, _, err := u.look(ctx); err != nil {
		return nil, fmt.Errorf("resume the upload of blob %s: %w", d.Digest, err)
	}
	return u, nil
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
		if err := retry.Sleep(ctx, u.r.host.client.limits.settle); err != nil {
			return 0, false, err
		}
	}
	return offset, told, nil
}

// look asks the session once how many bytes it has. The registry gives a new location with
// each answer, and the old ones are good no more.
func (u *upload) look(ctx context.Context) (offset int64, told bool, err error) {
	in := u.r.uploading(u.d)
	in.lasting = true
	resp, err := u.r.host.do(ctx, call{
		method: http.MethodGet, url: u.location, intent: in,
		accept: []int{http.StatusNoContent, http.StatusAccepted, http.StatusOK},
	})
	if err != nil {
		return 0, false, err
	}
	defer discard(resp)
	offset, told = parseOffset(resp.Header.Get("Range"))
	return offset, told, u.moveOnIfTold(resp)
}

// parseOffset reads "0-N", the range that the registry has, N included ("Pushing a Blob in
// Chunks", OCI distribution specification).
func parseOffset(header string) (offset int64, told bool) {
	last, found := strings.CutPrefix(strings.TrimPrefix(header, "bytes="), "0-")
	n, err := strconv.ParseInt(last, 10, 62)
	if !found || err != nil || n <= 0 {
		return 0, false
	}
	return n + 1, true
}

func (u *upload) restart(ctx context.Context) error {
	old := &upload{r: u.r, d: u.d, location: u.location}
	_ = old.Cancel(ctx)
	return u.open(ctx, u.opening())
}

// CommitFrom implements [content.ResumableUpload] by one PUT of the bytes that are left, or by
// PATCHes and a PUT where that would be too large. The registry verifies them with those that
// it has.
func (u *upload) CommitFrom(ctx context.Context, offset int64, s *content.Stream) error {
	if err := content.CheckStream(s, u.d, offset); err != nil {
		return err
	}
	return u.send(ctx, s, offset)
}
