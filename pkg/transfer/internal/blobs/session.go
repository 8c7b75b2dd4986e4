package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
)

// errTaken: another want has become the leader, or the stream, since this one was queued.
var errTaken = errors.New("another repository is served first")

// errDrained: the run is ending, and the blob has sent no byte.
var errDrained = errors.New("the run is ending")

// move brings a blob to a repository in the cheapest way: mount, check, then send. The write
// slot is held.
func (q *Queue) move(ctx context.Context, w *want, slots *limit.Slots) (completion, error) {
	if !w.unconfirmed.IsZero() {
		return q.confirm(ctx, w)
	}
	var open content.Upload
	defer func() { q.cancelUpload(ctx, w, open) }()
	for _, from := range q.mountCandidates(w) {
		granted, upload, err := q.mount(ctx, w, from)
		switch {
		case err != nil:
			return completion{}, err
		case granted:
			q.admit(w)
			return completion{Mounted, from}, nil
		case upload != nil:
			q.cancelUpload(ctx, w, open)
			open = upload
		}
	}
	if !q.lead(w) {
		return completion{}, errTaken
	}
	there, upload, err := q.check(ctx, w, open)
	open = upload
	switch {
	case err != nil:
		return completion{}, err
	case there:
		return completion{outcome: Exists}, nil
	case open == nil:
		if open, err = w.place.Target.StartUpload(ctx, w.item.blob); err != nil {
			return completion{}, w.failure(err)
		}
	}
	q.admit(w)
	if err := q.send(ctx, w, open, slots); err != nil {
		return completion{}, err
	}
	open = nil
	slots.ReleaseRead()
	q.checkProbe(ctx, w)
	return completion{outcome: Sent}, nil
}

// mountCandidates are the repositories to mount from: one that is known to have the blob, or
// else the hints.
func (q *Queue) mountCandidates(w *want) []string {
	q.lock()
	from, _ := w.item.mountable(w)
	q.unlock()
	if from != "" {
		return []string{from}
	}
	return q.hints(w)
}

// lead makes a want the leader of its item. It reports false if another want leads, or if a
// mount will be possible later.
func (q *Queue) lead(w *want) bool {
	q.lock()
	defer q.unlock()
	it := w.item
	if _, wait := it.mountable(w); wait || it.leader != nil && it.leader != w && it.registry.shares(w.place.Target) {
		return false
	}
	if it.leader == nil {
		it.leader = w
	}
	return true
}

// send streams a blob into an upload.
func (q *Queue) send(ctx context.Context, w *want, upload content.Upload, slots *limit.Slots) error {
	body, err := q.open(ctx, w, slots)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if err := body.ready(); err != nil {
		return err
	}
	if !q.start(w) {
		return errDrained
	}
	out := &countingReader{
		source: body, observer: q.options.Observer,
		progress: q.options.Observer.BlobStarted(w.place.Ref, w.item.blob),
	}
	stream := content.NewStream(out, w.item.blob)
	err = upload.Commit(ctx, stream)
	if err == nil {
		return nil
	}
	out.progress.Add(-out.sent)
	if out.err != nil {
		return out.err
	}
	if wrong := stream.Err(); errors.Is(wrong, content.ErrMismatch) {
		return body.corrupt(wrong)
	}
	f := failureOf(w.failure(err))
	f.dropped = errors.Is(err, content.ErrNotFound)
	return f
}

// start records that a want begins to send bytes. It reports whether it may.
func (q *Queue) start(w *want) bool {
	q.lock()
	defer q.unlock()
	w.moving = w.moving || !q.draining
	return w.moving
}

// confirm checks for a blob whose commit was not answered in time.
func (q *Queue) confirm(ctx context.Context, w *want) (completion, error) {
	there, err := w.place.Target.HasBlob(ctx, w.item.blob)
	switch {
	case there:
		return completion{outcome: Sent}, nil
	case time.Since(w.unconfirmed) < confirmFor:
		return completion{}, content.ErrUnconfirmed
	case err == nil:
		err = fmt.Errorf("blob %s: not found %s after it was sent: %w", w.item.blob.Digest, confirmFor, content.ErrUnconfirmed)
	}
	return completion{}, &failure{side: atDestination, err: errors.Join(err), final: true}
}

// countingReader counts the bytes that are sent, and keeps the error of the source apart from
// that of the destination.
type countingReader struct {
	source   io.Reader
	observer Observer
	progress Progress
	sent     int64
	err      error
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.sent += int64(n)
	r.progress.Add(int64(n))
	r.observer.BytesSent(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
