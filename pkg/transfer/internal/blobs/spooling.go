package blobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
)

// filling is a spool that one writer fills from the origins of a blob, and several readers
// read. Its fields are guarded by Queue.mu.
type filling struct {
	spool  *spool.Spool
	cancel context.CancelFunc
	// holders counts the writer, the readers, and the supply while readers may join. The
	// last one frees the space.
	holders int
	readers map[*spoolReader]struct{}
	verdict error // on bytes that did not match the blob; nil as long as none is known
}

// leave ends one hold on a filling.
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
	if len(f.readers) == 0 {
		f.cancel()
	}
	f.leave()
}

// endStream ends the stream of a want, if it has one. wake advances the wants that waited for
// the end. q.mu is held.
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

// shared reports whether another place needs the bytes of a want, too: another registry, or a
// repository of this one that cannot mount them.
func (s *supply) shared(w *want) bool {
	for _, it := range s.items {
		if it.registry != w.item.registry {
			if it.lacking() {
				return true
			}
			continue
		}
		mounts := it.registry.mounts
		if mounts == yes || mounts != no && s.blob.Size > smallSpool {
			continue
		}
		for repository := range it.repositories {
			if p := it.at[repository]; repository != w.repository && (p == nil || p.unverified) {
				return true
			}
		}
	}
	return false
}

// open opens a blob for one attempt of a want: as a stream if no other place needs the bytes,
// or else through a spool. It never waits for space: without space the blob goes to one place
// first, and from there to the others.
func (s *supply) open(ctx context.Context, w *want, slots *limit.Slots) (reading, error) {
	q := s.queue
	q.lock()
	direct := isRereadable(w.origin.Source)
	if !direct {
		if s.streaming != nil && s.streaming != w {
			q.unlock()
			return nil, errTaken
		}
		if s.filling == nil && !w.unspooled && s.shared(w) {
			s.startFilling(w, slots.Reader())
		}
		if f := s.filling; f != nil && !w.unspooled {
			body := s.join(ctx, f)
			q.unlock()
			return body, nil
		}
		s.streaming = w
	}
	q.unlock()
	return newReader(ctx, w, slots, w.item.budget)
}

// startFilling starts to read a blob into a spool, if there is space. q.mu is held.
func (s *supply) startFilling(w *want, slots *limit.Slots) {
	q := s.queue
	freeSpace(q, s.blob.Size)
	space, err := q.options.Spools.Reserve(s.blob.Size)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(q.ctx)
	f := &filling{spool: space, cancel: cancel, holders: 2, readers: map[*spoolReader]struct{}{}}
	s.filling = f
	q.running.Go(func() {
		defer cancel()
		err := s.fillSpool(ctx, w, slots, space)
		if _, read := errors.AsType[*failure](err); err != nil && !read && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", spool.ErrAbandoned, err) // the disk is full: the blob goes to one place first
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

// fillSpool reads a blob into a spool.
func (s *supply) fillSpool(ctx context.Context, w *want, slots *limit.Slots, into *spool.Spool) error {
	q := s.queue
	body, err := newReader(ctx, w, slots, s.budget)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	body.spooling = true
	_, err = io.Copy(into, io.LimitReader(body, s.blob.Size))
	q.lock()
	defer q.unlock()
	s.from = body.from
	return err
}

// join adds a reader to a filling. q.mu is held.
func (s *supply) join(ctx context.Context, f *filling) *spoolReader {
	b := &spoolReader{queue: s.queue, supply: s, filling: f, ctx: ctx, body: f.spool.NewReader(ctx)}
	f.holders++
	f.readers[b] = struct{}{}
	return b
}

// spoolReader reads a spool for one place.
type spoolReader struct {
	queue   *Queue
	supply  *supply
	filling *filling
	ctx     context.Context // of the reading
	body    io.Reader
	offset  atomic.Int64
}

func (b *spoolReader) ready() error {
	return asFinal(b.filling.spool.Wait(b.ctx, min(1, b.supply.blob.Size)))
}

// Read implements io.Reader.
func (b *spoolReader) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.offset.Add(int64(n))
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

func (b *spoolReader) corrupt(err error) error {
	b.queue.lock()
	b.supply.leaveFilling(b.filling)
	from, known := b.supply.from, b.filling.verdict
	if known == nil {
		b.filling.verdict = errReread
	}
	b.queue.unlock()
	if known != nil {
		return known // another reader of the same bytes has reported them
	}
	return b.supply.reportCorrupt(from, err)
}

// Close ends the reading. The last reader of a spool that nothing may join ends its writer.
func (b *spoolReader) Close() error {
	b.queue.lock()
	defer b.queue.unlock()
	delete(b.filling.readers, b)
	if len(b.filling.readers) == 0 && b.supply.filling != b.filling {
		b.filling.cancel()
	}
	b.filling.leave()
	return nil
}

// freeSpace makes size bytes available for spooling. It abandons the spools whose readers are
// furthest behind; those places read later from a destination that has the blob. Only complete
// spools with such a destination are abandoned, so that no source is read again. q.mu is held.
func freeSpace(q *Queue, size int64) {
	type candidate struct {
		supply *supply
		behind int64 // bytes that its slowest reader has not read
	}
	missing := size - q.options.Spools.Free()
	if missing <= 0 {
		return
	}
	var slow []candidate
	for _, s := range q.supplies {
		if f := s.filling; f != nil && len(f.readers) > 0 && f.spool.Complete() && s.hasHolder() {
			behind := int64(0)
			for b := range f.readers {
				behind = max(behind, s.blob.Size-b.offset.Load())
			}
			slow = append(slow, candidate{s, behind})
		}
	}
	slices.SortFunc(slow, func(a, b candidate) int { return cmp.Compare(b.behind, a.behind) })
	var given int64
	for i, l := range slow {
		if given += l.supply.blob.Size; given < missing {
			continue
		}
		for _, l := range slow[:i+1] {
			f := l.supply.filling
			f.spool.Abandon()
			l.supply.leaveFilling(f)
		}
		return
	}
}

// hasHolder reports whether a blob can be read from a destination.
func (s *supply) hasHolder() bool {
	return slices.ContainsFunc(s.origins(), func(o Origin) bool { return o.holder })
}
