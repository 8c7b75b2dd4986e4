package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/regsync/regsync/internal/spool"
	"github.com/regsync/regsync/pkg/content"
)

// filling is a spool on its way from reserved to full. Its space is freed when nobody
// reads it and nobody may join any more: when no place wants the blob, or what is in the
// spool is of no use.
type filling struct {
	from   origin        // the source of the image that fills it
	ready  chan struct{} // closed when spool or err is set
	spool  *spool.Spool
	err    error // why there is no spool
	cancel context.CancelFunc

	// Guarded by supply.mu.
	readers int
	reading map[*spoolBody]struct{} // those that have come to reading
}

// join finds the spool to read, begins one where others need the blob too, or returns nil:
// u has the stream, and ends it. While another has it, its end is waited for, because a
// stream cannot be shared any more and that place can be read then; so it is with a blob
// that no spool could hold. A filling that is returned is left with leave.
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
		if s.blob.Size > s.engine.options.SpoolBytes || u.gaveWay || !s.othersNeedIt(u) {
			s.streaming = make(chan struct{})
			return nil, false, nil
		}
		s.filling = &filling{from: u.own(), ready: make(chan struct{}), reading: map[*spoolBody]struct{}{}}
		mine = true
	}
	s.filling.readers++
	return s.filling, mine, nil
}

// leave ends what join began.
func (s *supply) leave(f *filling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.readers--
	s.freeLocked(f)
}

// drop keeps others from joining f: what they read would be of no use.
func (s *supply) drop(f *filling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(f)
}

func (s *supply) dropLocked(f *filling) {
	if f != nil && s.filling == f {
		s.filling = nil
		s.freeLocked(f)
	}
}

// freeLocked frees the space of f where nobody reads it or may join. s.mu is held.
func (s *supply) freeLocked(f *filling) {
	if f.readers > 0 || s.filling == f {
		return
	}
	f.cancel()
	s.engine.running.Go(func() {
		<-f.ready
		if f.spool != nil {
			f.spool.Release()
		}
	})
}

// fill starts to read an origin into f.
func (s *supply) fill(ctx context.Context, f *filling, u *blobUpload) {
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.engine.running.Go(func() {
		s.engine.makeRoom(s.blob.Size)
		f.spool, f.err = s.engine.spools.Reserve(ctx, s.blob.Size)
		close(f.ready)
		if f.err != nil {
			s.drop(f)
			return
		}
		err := u.retries().Do(ctx, func(ctx context.Context) error {
			return s.pour(ctx, f.spool, u)
		})
		if err != nil {
			s.drop(f)
		}
		f.spool.CloseWrite(err)
	})
}

// pour reads an origin into the spool, from where an earlier attempt ended.
func (s *supply) pour(ctx context.Context, into *spool.Spool, u *blobUpload) error {
	body, err := s.read(ctx, u, into.Len(), "")
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	_, err = io.Copy(into, io.LimitReader(body, s.blob.Size-into.Len()))
	if err == nil && into.Len() < s.blob.Size {
		err = s.blame(body.from, &content.MismatchError{Want: s.blob, GotSize: into.Len()})
	}
	return err
}

// follow reads a spool while it fills. It takes the destination's slot when there is
// something to send.
func (s *supply) follow(ctx context.Context, f *filling, u *blobUpload) (reading, error) {
	if err := s.begun(ctx, f); err != nil {
		s.leave(f)
		return nil, &suppliedError{f.from.Location(), err}
	}
	release, err := s.engine.acquire(ctx, "", slotName(u.target), s.weight())
	if err != nil {
		s.leave(f)
		return nil, err
	}
	body := &spoolBody{ReadCloser: f.spool.NewReader(ctx), supply: s, filling: f, release: release}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.reading[body] = struct{}{}
	return body, nil
}

// begun waits for the first byte.
func (s *supply) begun(ctx context.Context, f *filling) error {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if f.err != nil {
		return f.err
	}
	return f.spool.Wait(ctx, 1)
}

// suppliedError is an error of a spool whose source has been tried again and again
// already: one more attempt at that source is pointless.
type suppliedError struct {
	by  content.Location
	err error
}

func (e *suppliedError) Error() string { return e.err.Error() }
func (e *suppliedError) Unwrap() error { return e.err }

// spoolBody is one place's reading of a spool.
type spoolBody struct {
	io.ReadCloser
	supply  *supply
	filling *filling
	offset  atomic.Int64
	once    sync.Once
	release func()
}

func (b *spoolBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.offset.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		err = &suppliedError{b.filling.from.Location(), err}
	}
	return n, err
}

func (b *spoolBody) blame(err error) error {
	b.supply.drop(b.filling)
	return b.filling.from.blame(err)
}

// Close lets go of the spool and the slot; it may be called again.
func (b *spoolBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		b.release()
		b.supply.mu.Lock()
		delete(b.filling.reading, b)
		b.supply.mu.Unlock()
		b.supply.leave(b.filling)
	})
	return err
}
