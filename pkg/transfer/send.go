package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/regsync/regsync/internal/retry"
	"github.com/regsync/regsync/internal/spool"
	"github.com/regsync/regsync/pkg/content"
)

// rereads is how often a blob is read from the start again when its bytes were wrong.
const rereads = 2

// cancelPatience is how long an abandoned upload may take to be cancelled.
const cancelPatience = 5 * time.Second

// send moves the bytes, in as many attempts as it takes.
func (u *blobUpload) send(ctx context.Context) error {
	progress := &Progress{Total: u.blob.Size}
	u.engine.emit(BlobStarted{Destination: u.targetRef, Descriptor: u.blob, Progress: progress})
	attempt := 0
	var hopeless error
	err := u.retries().Do(ctx, func(ctx context.Context) error {
		if attempt++; attempt > 1 {
			// The answer to a commit may have been lost.
			here, err := u.target.HasBlob(ctx, u.blob)
			if here {
				u.learnPut()
			}
			if err != nil || here {
				return u.atTarget(err)
			}
		}
		err := u.try(ctx, progress)
		if _, tried := errors.AsType[*suppliedError](err); tried {
			hopeless = err
			return nil
		}
		return err
	})
	if hopeless != nil {
		return hopeless
	}
	return err
}

// try is one attempt, and those after it that have nothing to wait for: the source of
// another image failed, this one's has not been tried; the bytes were wrong; the spool gave
// way.
func (u *blobUpload) try(ctx context.Context, progress *Progress) error {
	for {
		err := u.attempt(ctx, progress)
		supplied, tried := errors.AsType[*suppliedError](err)
		switch {
		case ctx.Err() != nil:
			return err
		case errors.Is(err, spool.ErrAbandoned) && !u.gaveWay:
			u.gaveWay = true
		case tried && supplied.by != u.source.Location():
		case mismatch(err) != nil && !mismatch(err).Short() && u.lies < rereads:
			u.lies++
		case errors.Is(err, errDropped) && !u.renewed:
			u.renewed = true
		default:
			return err
		}
	}
}

// errDropped: the registry does not know the upload any more.
var errDropped = errors.New("the upload was dropped")

// mismatch tells what is wrong with the bytes that were read, or is nil. A registry that
// finds others wrong than ours gives an ErrMismatch of its own.
func mismatch(err error) *content.MismatchError {
	m, _ := errors.AsType[*content.MismatchError](err)
	return m
}

// retries is how attempts follow each other, each announced.
func (u *blobUpload) retries() retry.Policy {
	return retry.Policy{
		Attempts: u.engine.options.Attempts,
		Notify: func(attempt int, wait time.Duration, err error) {
			u.engine.emit(BlobRetrying{Destination: u.targetRef, Descriptor: u.blob, Attempt: attempt, Wait: wait, Err: err})
		},
	}
}

// attempt opens an upload, unless one is open, and sends the blob from its start.
func (u *blobUpload) attempt(ctx context.Context, progress *Progress) error {
	upload := u.upload
	u.upload = nil
	if upload == nil {
		var err error
		if upload, err = u.target.StartUpload(ctx, u.blob); err != nil {
			return u.atTarget(err)
		}
	}
	body, err := u.supply.open(ctx, u)
	if err != nil {
		cancelUpload(ctx, upload)
		return err
	}
	defer body.Close()
	if !u.begin() {
		cancelUpload(ctx, upload)
		return errEnding
	}
	sending := &sendingReader{source: body, progress: progress, counters: &u.engine.Counters}
	err = upload.Commit(ctx, sending)
	if err == nil {
		u.learnPut()
		return nil
	}
	progress.Add(-sending.sent)
	cancelUpload(ctx, upload)
	switch {
	case sending.err != nil:
		return sending.err
	case mismatch(err) != nil:
		return body.blame(err)
	case errors.Is(err, content.ErrNotFound):
		err = fmt.Errorf("%w: %w", errDropped, err)
	}
	return u.atTarget(err)
}

// cancelUpload gives an upload up, also when ctx has ended; nil is none.
func cancelUpload(ctx context.Context, upload content.Upload) {
	if upload == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelPatience)
	defer stop()
	// A session that cannot be cancelled now is purged by the registry.
	_ = upload.Cancel(ctx)
}

// own is the image's own source, as errors name it.
func (u *blobUpload) own() origin { return origin{u.source, SideSource, u.sourceRef} }

func (u *blobUpload) atTarget(err error) error { return onSide(SideDestination, u.targetRef, err) }

// sendingReader counts what goes out, and keeps the error of the side that is read apart
// from that of the side that is written.
type sendingReader struct {
	source   io.Reader
	progress *Progress
	counters *Counters
	sent     int64
	err      error
}

func (r *sendingReader) Read(p []byte) (int, error) {
	n, err := r.source.Read(p)
	r.sent += int64(n)
	r.progress.Add(int64(n))
	r.counters.Sent.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
