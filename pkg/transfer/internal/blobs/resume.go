package blobs

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// sending is an upload and the stream that it gets its bytes from.
type sending struct {
	upload content.Upload
	stream *content.Stream // nil before the first attempt
	offset int64           // how many bytes the place has
}

// feed makes the stream yield the blob from the offset on, which r does.
func (s *sending) feed(r io.Reader, blob content.Descriptor) error {
	if s.offset > 0 {
		return s.stream.Continue(r, s.offset)
	}
	s.stream = content.NewStream(r, blob)
	return nil
}

// keep keeps an upload that broke for the next attempt, if that may continue it.
func (a *attempt) keep(ctx context.Context, s *sending, err error) bool {
	q, w := a.queue, a.want
	f := failureOf(err)
	if _, resumable := s.upload.(content.ResumableUpload); !resumable || ctx.Err() != nil ||
		s.stream == nil || s.stream.Offset() < progressBytes || errors.Is(s.stream.Err(), content.ErrMismatch) ||
		f.dropped || f.side == atDestination && !passes(err) {
		return false
	}
	q.lock()
	defer q.unlock()
	if w.item.registry.cut == no {
		return false
	}
	w.broken = s
	return true
}

// passes reports whether the cause of a failure may be temporary.
func passes(err error) bool {
	_, down := errors.AsType[*limit.DownError](err)
	return down || retry.Retryable(err)
}

// resume asks the place how much of a broken upload it has. It returns nil if there is nothing to
// continue: some registries drop an upload whose connection broke.
func (a *attempt) resume(ctx context.Context) (*sending, error) {
	q, w := a.queue, a.want
	q.lock()
	s := w.broken
	q.unlock()
	if s == nil {
		return nil, nil
	}
	offset, err := s.upload.(content.ResumableUpload).Offset(ctx) //nolint:forcetypeassert // keep has checked
	if err != nil && (ctx.Err() != nil || passes(err)) {
		return nil, w.failure(err)
	}
	q.lock()
	w.broken = nil
	q.unlock()
	if err == nil && offset > 0 && offset <= s.stream.Offset() {
		s.offset = offset
		return s, nil
	}
	a.uploadLost()
	if err == nil {
		a.cancelUpload(ctx, s.upload)
	}
	return nil, nil
}

// uploadLost records that the registry does not continue uploads whose connection broke.
func (a *attempt) uploadLost() {
	q, r := a.queue, a.want.item.registry
	q.lock()
	told := r.cut == no
	r.cut = no
	q.unlock()
	if !told {
		q.options.Observer.UploadLost(r.name)
	}
}

// refusesRest reports whether a registry refuses the rest of an upload in a way that it may not refuse
// the whole blob.
func refusesRest(err error) bool {
	answer, ok := errors.AsType[interface {
		error
		HTTPStatus() int
	}](err)
	if !ok {
		return errors.Is(err, content.ErrMismatch)
	}
	switch status := answer.HTTPStatus(); status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return false
	default:
		return status >= http.StatusBadRequest && status < http.StatusInternalServerError && !retry.Retryable(err)
	}
}

// abandon cancels the broken upload of a want that ends. q.mu is held.
func (q *Queue) abandon(w *want) {
	s := w.broken
	if s == nil {
		return
	}
	w.broken = nil
	q.running.Go(func() { q.cancelUpload(q.ctx, w.item.registry.peer.Registry, s.upload) })
}
