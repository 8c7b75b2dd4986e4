package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
)

// errUnspooled: a blob cannot go through a spool, and is streamed to one place at a time.
var errUnspooled = errors.New("spooling failed")

// spoolBuffer is how many bytes are written to a spool at a time. Each write wakes all readers of the spool.
const spoolBuffer = 256 << 10

// filling is a spool that one writer fills from the origins of a blob, and several readers
// read. Its fields are guarded by Queue.mu.
type filling struct {
	spool  *spool.Spool
	cancel context.CancelFunc
	// holders counts the writer, the readers, and the supply while readers may join. The last one frees the space.
	holders int
	readers int
	states  content.States // of the stream that verifies the bytes
}

func (f *filling) leave() {
	if f.holders--; f.holders == 0 {
		f.spool.Release()
	}
}

// leaveFilling closes a filling to new readers. Its writer ends with its last reader.
func (s *supply) leaveFilling(f *filling) {
	if f == nil || s.filling != f {
		return
	}
	s.filling = nil
	if f.readers == 0 {
		f.cancel()
	}
	f.leave()
}

// endStream ends the stream of a want, if it has one. wake advances the wants that waited for the end. q.mu is held.
func (s *supply) endStream(q *Queue, w *want) (wake func()) {
	if s.streaming != w {
		return func() {}
	}
	s.streaming = nil
	return func() {
		parked := s.parked
		s.parked = nil
		for _, other := range parked {
			q.advance(other)
		}
	}
}

// shared reports whether another place needs the bytes of a want, too: another registry, or a repository of this one,
// unless the registry is known to mount blobs.
func (s *supply) shared(w *want) bool {
	for _, it := range s.items {
		if it.registry != w.item.registry {
			if it.lacking() {
				return true
			}
			continue
		}
		if it.registry.mounts == yes || it.registry.willMount() && s.blob.Size > smallSpool {
			continue
		}
		for repository := range it.repositories {
			if repository != w.repository && !it.at[repository].verified() {
				return true
			}
		}
	}
	return false
}

// open opens a blob at an offset for one attempt of a want: as a stream if no other place needs the bytes, or else through a
// spool. It never waits for space: without space the blob goes to one place first, and the others read it from there.
func (s *supply) open(ctx context.Context, w *want, slots *limit.Slots, offset int64) (reading, error) {
	q := s.queue
	q.lock()
	direct, retained := content.IsRereadable(w.origin.Source), false
	if !direct {
		if s.streaming != nil && s.streaming != w {
			q.unlock()
			return nil, errTaken
		}
		if s.filling == nil && !w.unspooled && s.shared(w) {
			s.startFilling(w, slots.Reader())
		}
		if f := s.filling; f != nil && !w.unspooled {
			f.holders++
			f.readers++
			body := f.spool.NewReader(ctx, offset)
			q.unlock()
			return &spoolReader{queue: q, supply: s, filling: f, ctx: ctx, offset: offset, body: body}, nil
		}
		s.streaming = w
		retained = retain(q, w, offset)
	}
	q.unlock()
	if retained {
		rest, err := newReader(ctx, w, slots, w.item.budget, int64(len(w.retained)))
		if err != nil {
			return nil, err
		}
		return &retainingReader{rest, offset}, nil
	}
	return newReader(ctx, w, slots, w.item.budget, offset)
}

// startFilling starts to read a blob into a spool, if there is space. q.mu is held.
func (s *supply) startFilling(w *want, slots *limit.Slots) {
	q := s.queue
	space, err := q.options.Spools.Reserve(s.blob.Size)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(q.ctx)
	f := &filling{spool: space, cancel: cancel, holders: 2}
	s.filling = f
	q.running.Go(func() {
		defer cancel()
		err := s.fillSpool(ctx, w, slots, f)
		if _, read := errors.AsType[*failure](err); err != nil && !read && !errors.Is(err, errReread) && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", errUnspooled, err) // the disk is full
		}
		space.CloseWrite(err)
		q.lock()
		defer q.unlock()
		if err != nil {
			s.leaveFilling(f)
		}
		f.leave()
	})
}

// fillSpool reads a blob into a spool, and verifies it: the last bytes are written only if all are right.
func (s *supply) fillSpool(ctx context.Context, w *want, slots *limit.Slots, f *filling) error {
	q := s.queue
	body, err := newReader(ctx, w, slots, s.budget, 0)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	body.spooling = true
	stream := content.NewStream(body, s.blob)
	f.states.Keep(stream)
	_, err = io.CopyBuffer(&spoolWriter{f, stream}, stream, make([]byte, min(s.blob.Size+1, spoolBuffer)))
	if _, read := errors.AsType[*failure](err); !read && errors.Is(stream.Err(), content.ErrMismatch) {
		err = body.corrupt(stream.Err())
	}
	q.lock()
	defer q.unlock()
	s.from = body.from
	return err
}

// spoolWriter writes what a stream yields into a spool.
type spoolWriter struct {
	filling *filling
	stream  *content.Stream
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	n, err := w.filling.spool.Write(p)
	w.filling.states.Keep(w.stream)
	return n, err
}

// spoolReader reads a spool for one place.
type spoolReader struct {
	queue   *Queue
	supply  *supply
	filling *filling
	ctx     context.Context // of the reading
	offset  int64           // where it starts
	body    io.Reader
}

func (b *spoolReader) ready() error {
	return asFinal(b.filling.spool.Wait(b.ctx, min(b.offset+1, b.supply.blob.Size)))
}

func (b *spoolReader) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	return n, asFinal(err)
}

// asFinal marks an error of a spool's writer as final: the writer has tried all origins.
func asFinal(err error) error {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return err
	}
	final := *f
	final.final = true
	return &final
}

// verifiedBy returns the states of the writer, which verifies the bytes.
func (b *spoolReader) verifiedBy() *content.States { return &b.filling.states }

// corrupt reports that the bytes do not match those that an earlier attempt has sent.
func (b *spoolReader) corrupt(err error) error {
	b.queue.lock()
	b.supply.leaveFilling(b.filling)
	from := b.supply.from
	b.queue.unlock()
	return b.supply.reportCorrupt(from, err)
}

// Close ends the reading. The last reader of a spool that nothing may join ends its writer.
func (b *spoolReader) Close() error {
	b.queue.lock()
	defer b.queue.unlock()
	b.filling.readers--
	if b.filling.readers == 0 && b.supply.filling != b.filling {
		b.filling.cancel()
	}
	b.filling.leave()
	return nil
}
