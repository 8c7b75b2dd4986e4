package blobs

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/retry"
)

// buffers are the buffers of all prefetches of a run. Unused ones are kept for later ones. The zero value is ready.
type buffers struct {
	mu     sync.Mutex
	made   int
	unused [][]byte
}

// take returns a buffer of rangeSize bytes, or nil if rangeMemory is used up.
func (b *buffers) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.unused); n > 0 {
		buffer := b.unused[n-1]
		b.unused = b.unused[:n-1]
		return buffer
	}
	if b.made == rangeMemory/rangeSize {
		return nil
	}
	b.made++
	return make([]byte, rangeSize)
}

func (b *buffers) put(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unused = append(b.unused, buffer)
}

// prefetch is a range of a blob that is read into memory by its own request, before the reader of the blob reaches it.
type prefetch struct {
	start, end int64
	fetching   context.Context // of the request
	cancel     context.CancelCauseFunc
	reading    context.Context // of the reader; set before the first Read
	buffers    *buffers
	buffer     []byte
	users      atomic.Int32  // of the buffer: the request and the reader
	filled     atomic.Int64  // bytes of the buffer
	arrived    chan struct{} // has an element after bytes have arrived
	ended      chan struct{} // closed at the end of the request
	err        error         // why the request ended early
	read       int64         // bytes that the reader has taken
}

// newPrefetch makes a prefetch of at most rangeSize bytes. It returns nil if no memory is left. The caller must call fetch and
// Close.
func newPrefetch(ctx context.Context, from *buffers, start, end int64) *prefetch {
	buffer := from.take()
	if buffer == nil {
		return nil
	}
	p := &prefetch{
		start: start, end: end, buffers: from, buffer: buffer[:end-start],
		arrived: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	p.fetching, p.cancel = context.WithCancelCause(ctx)
	p.users.Store(2)
	return p
}

// leave releases the buffer after its last use.
func (p *prefetch) leave() {
	if p.users.Add(-1) == 0 {
		p.buffers.put(p.buffer[:rangeSize])
	}
}

// fetch sends the request and fills the buffer. After a broken connection it requests the rest once more. The reader
// handles a second failure.
func (p *prefetch) fetch(from content.RangeFetcher, blob content.Descriptor, to *line) {
	defer p.leave()
	defer close(p.ended)
	to.requests.Add(1)
	defer to.requests.Add(-1)
	p.err = p.fill(from, blob, to)
	if p.err != nil && p.fetching.Err() == nil && content.AnswerOf(p.err).Status == 0 && retry.Retryable(p.err) {
		p.err = p.fill(from, blob, to)
	}
}

// fill requests the bytes that are missing in the buffer.
func (p *prefetch) fill(from content.RangeFetcher, blob content.Descriptor, to *line) error {
	filled := p.filled.Load()
	body, err := from.FetchBlobRange(p.fetching, blob, p.start+filled, p.end-p.start-filled)
	if err != nil {
		return &content.PartError{Part: blob, Err: err}
	}
	defer func() { _ = body.Close() }()
	idle := time.AfterFunc(idleTimeout, func() { p.cancel(&idleError{}) })
	defer idle.Stop()
	for {
		n, err := body.Read(p.buffer[filled:])
		idle.Reset(idleTimeout)
		filled += int64(n)
		to.read.Add(int64(n))
		p.filled.Store(filled)
		select {
		case p.arrived <- struct{}{}:
		default:
		}
		switch {
		case filled == p.end-p.start:
			return nil
		case err == io.EOF: //nolint:errorlint // what wraps an end is a broken connection
			return io.ErrUnexpectedEOF
		case err != nil:
			if idle, is := errors.AsType[*idleError](context.Cause(p.fetching)); is {
				err = idle
			}
			return err
		}
	}
}

// hasEnded reports whether the request has ended.
func (p *prefetch) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Read implements io.Reader. It waits for bytes until p.reading ends.
func (p *prefetch) Read(to []byte) (int, error) {
	for {
		if filled := p.filled.Load(); p.read < filled {
			n := copy(to, p.buffer[p.read:filled])
			p.read += int64(n)
			return n, nil
		}
		if p.hasEnded() && p.read == p.filled.Load() {
			if p.err != nil {
				return 0, p.err
			}
			return 0, io.EOF
		}
		select {
		case <-p.arrived:
		case <-p.ended:
		case <-p.reading.Done():
			return 0, context.Cause(p.reading)
		}
	}
}

func (p *prefetch) Close() error {
	p.cancel(nil)
	p.leave()
	return nil
}

// spans are ranges of a blob. The zero value is empty.
type spans struct {
	mu  sync.Mutex
	all [][2]int64 // start and end
}

func (s *spans) add(start, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, [2]int64{start, end})
}

// take removes the bytes between start and end, and returns their number.
func (s *spans) take(start, end int64) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return 0
	}
	var left [][2]int64
	for _, span := range s.all {
		from, to := max(span[0], start), min(span[1], end)
		if from >= to {
			left = append(left, span)
			continue
		}
		n += to - from
		for _, rest := range [][2]int64{{span[0], from}, {to, span[1]}} {
			if rest[0] < rest[1] {
				left = append(left, rest)
			}
		}
	}
	s.all = left
	return n
}
