package transfer

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/reference"
)

// origin is a place that a blob is read from, and how errors name it: the source, or a
// destination that has the blob already.
type origin struct {
	content.Source
	side Side
	ref  reference.Reference
}

func (o origin) blame(err error) error { return onSide(o.side, o.ref, err) }

// reading is one reading of a blob from its start. It holds slots, and perhaps a spool,
// until it is closed.
type reading interface {
	io.ReadCloser
	// blame is told that the bytes were wrong, and says in err where they came from.
	blame(err error) error
}

var (
	_ reading = (*originBody)(nil)
	_ reading = (*spoolBody)(nil)
)

// openAt opens the blob at an offset: by a range where the origin can, else by reading what
// comes before.
func (s *supply) openAt(ctx context.Context, from origin, offset int64) (*originBody, error) {
	if ranges, ok := from.Source.(content.RangeFetcher); ok && offset > 0 {
		body, err := ranges.FetchBlobRange(ctx, s.blob, offset, s.blob.Size-offset)
		if err == nil {
			return s.originBody(from, body, offset), nil
		}
		if !errors.Is(err, content.ErrUnsupported) {
			return nil, s.blame(from, err)
		}
	}
	whole, err := from.FetchBlob(ctx, s.blob)
	if err != nil {
		return nil, s.blame(from, err)
	}
	body := s.originBody(from, whole, 0)
	if _, err := io.CopyN(io.Discard, body, offset); err != nil {
		_ = body.Close()
		return nil, s.blame(from, err)
	}
	return body, nil
}

func (s *supply) originBody(from origin, body io.ReadCloser, offset int64) *originBody {
	b := &originBody{ReadCloser: body, supply: s, from: from, known: s.engine.readUpTo(s.blob), release: func() {}}
	b.offset.Store(offset)
	return b
}

// originBody counts what is read of a blob, says whose errors it has, and holds the
// stream's slots.
type originBody struct {
	io.ReadCloser
	supply  *supply
	from    origin
	known   int64 // how far the blob had been read before
	offset  atomic.Int64
	once    sync.Once
	release func()
}

func (b *originBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	end := b.offset.Add(int64(n))
	counters := &b.supply.engine.Counters
	counters.Read.Add(int64(n))
	counters.Reread.Add(max(0, min(int64(n), b.known-(end-int64(n)))))
	if err != nil && err != io.EOF { //nolint:errorlint // what wraps an end is a broken connection
		err = b.blame(err)
	}
	return n, err
}

func (b *originBody) blame(err error) error { return b.supply.blame(b.from, err) }

// Close frees the slots; it may be called again.
func (b *originBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() {
		b.supply.engine.noteRead(b.supply.blob, b.offset.Load())
		b.release()
	})
	return err
}
