package transfer

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/regsync/regsync/internal/spool"
	"github.com/regsync/regsync/pkg/content"
)

// filling is a spool on its way from reserved to full.
type filling struct {
	ready  chan struct{} // closed when spool or err is set
	spool  *spool.Spool
	err    error
	cancel context.CancelFunc
	// readers and wanted are guarded by supply.mu; the spool is released when nobody is
	// left of either.
	readers int
}

// releaseLocked frees the spool when nobody will read it. s.mu is held.
func (s *supply) releaseLocked() {
	f := s.filling
	if f == nil || len(s.wants) > 0 || f.readers > 0 {
		return
	}
	s.filling = nil
	f.cancel()
	s.engine.running.Go(func() {
		<-f.ready
		if f.spool != nil {
			f.spool.Release()
		}
	})
}

// join finds the spool to read, begins one where others need the blob too, or returns nil:
// u has the stream, and ends it. While another has it, its end is waited for, because a
// stream cannot be shared any more and that place can be read then. A filling that is
// returned is left with leave.
func (s *supply) join(ctx context.Context, u *blobUpload) (f *filling, mine bool, err error) {
	for {
		s.mu.Lock()
		streaming := s.streaming
		if streaming == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-streaming:
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
	defer s.mu.Unlock()
	if s.filling == nil {
		if !s.othersNeedIt(u) {
			s.streaming = make(chan struct{})
			return nil, false, nil
		}
		s.filling = &filling{ready: make(chan struct{})}
		mine = true
	}
	s.filling.readers++
	return s.filling, mine, nil
}

func (s *supply) leave(f *filling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.readers--
	if f.readers == 0 && f.err != nil && s.filling == f {
		s.filling = nil // the next attempt begins another
	}
	s.releaseLocked()
}

// fill starts to read an origin into f.
func (s *supply) fill(ctx context.Context, f *filling, u *blobUpload) {
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.engine.running.Go(func() {
		spooled, err := s.engine.spools.Reserve(ctx, s.blob.Size)
		f.spool, f.err = spooled, err
		close(f.ready)
		if err != nil {
			return
		}
		err = u.retries().Do(ctx, func(ctx context.Context) error {
			return s.pour(ctx, spooled, u)
		})
		if err != nil {
			s.mu.Lock()
			f.err = err
			s.mu.Unlock()
		}
		spooled.CloseWrite(err)
	})
}

// pour reads an origin into the spool, from where an earlier attempt ended.
func (s *supply) pour(ctx context.Context, into *spool.Spool, u *blobUpload) error {
	origins, again := s.origins(u)
	var errs []error
	for _, from := range origins {
		body, err := s.read(ctx, from, into.Len(), "", again)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		missing := s.blob.Size - into.Len()
		_, err = io.Copy(into, io.LimitReader(body, missing))
		_ = body.Close()
		if err == nil && into.Len() < s.blob.Size {
			err = &content.MismatchError{Want: s.blob, GotSize: into.Len()}
		}
		return err
	}
	return errors.Join(errs...)
}

// follow reads a spool while it fills. It takes the destination's slot when there is
// something to send.
func (s *supply) follow(ctx context.Context, f *filling, u *blobUpload) (io.ReadCloser, error) {
	select {
	case <-f.ready:
	case <-ctx.Done():
		s.leave(f)
		return nil, context.Cause(ctx)
	}
	if f.spool == nil {
		s.leave(f)
		return nil, f.err
	}
	if err := f.spool.Wait(ctx, 1); err != nil {
		s.leave(f)
		return nil, &suppliedError{err}
	}
	release, err := s.engine.acquire(ctx, "", slotName(u.target), s.weight())
	if err != nil {
		s.leave(f)
		return nil, err
	}
	return &spoolBody{ReadCloser: f.spool.NewReader(ctx), done: func() { release(); s.leave(f) }}, nil
}

// suppliedError is an error of a spool whose source has been tried again and again
// already: one more attempt is pointless.
type suppliedError struct{ err error }

func (e *suppliedError) Error() string { return e.err.Error() }
func (e *suppliedError) Unwrap() error { return e.err }

// spoolBody is one place's reading of a spool.
type spoolBody struct {
	io.ReadCloser
	once sync.Once
	done func()
}

func (b *spoolBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &suppliedError{err}
	}
	return n, err
}

// Close lets go of the spool and the slot; it may be called again.
func (b *spoolBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.done)
	return err
}
