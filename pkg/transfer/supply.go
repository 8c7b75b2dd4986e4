package transfer

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/internal/spool"
	"github.com/regsync/regsync/pkg/content"
)

// smallSpool is the size, in bytes, up to which a blob is spooled for repositories that
// will most likely mount it: it stays in memory, and a refused mount costs no second read.
const smallSpool = 1 << 20

// blobID is a blob as a manifest describes it. The size belongs to it: a manifest that lies
// about the size of a blob must not spoil it for others.
type blobID struct {
	digest digest.Digest
	size   int64
}

func idOf(d content.Descriptor) blobID { return blobID{d.Digest, d.Size} }

// supply brings one blob from its source to all the places that need it. The source is
// read once: where one place needs the blob it is streamed through, where more may need it
// a spool is filled that each place reads at its own pace.
type supply struct {
	engine *Engine
	blob   content.Descriptor

	mu sync.Mutex
	// wants counts the images that need the blob at a place and do not have it yet.
	wants map[place]int
	// opened: the source has been read in this run.
	opened  bool
	filling *filling
	// streaming is closed when the stream to a single place ends; nil while there is none.
	streaming chan struct{}
}

// want notes that a place needs the blob.
func (s *supply) want(p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wants[p]++
}

// settle takes back one want and frees the spool with the last. It reports whether
// anything is left that has to be remembered.
func (s *supply) settle(p place) (live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wants[p]--; s.wants[p] <= 0 {
		delete(s.wants, p)
	}
	s.releaseLocked()
	return len(s.wants) > 0 || s.filling != nil || s.opened
}

// weight is the priority of the blob's streams: what is much shared and big goes first.
func (s *supply) weight() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blob.Size * int64(max(1, len(s.wants)))
}

// open yields the blob from its start, for one attempt at one place. It holds the stream's
// slots until it is closed. Its errors are those of the side that is read.
func (s *supply) open(ctx context.Context, u *blobUpload) (io.ReadCloser, error) {
	if rereadable(u.source) {
		return s.stream(ctx, u, func() {})
	}
	f, mine, err := s.join(ctx, u)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return s.stream(ctx, u, s.endStream)
	}
	if mine {
		s.fill(ctx, f, u)
	}
	stream, err := s.follow(ctx, f, u)
	if errors.Is(err, spool.ErrTooLarge) {
		return s.stream(ctx, u, func() {})
	}
	return stream, err
}

// endStream says that the stream to a single place has ended.
func (s *supply) endStream() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.streaming)
	s.streaming = nil
}

// othersNeedIt reports whether a place besides u's may need the bytes: one at another
// registry, or one at this registry that cannot mount them.
func (s *supply) othersNeedIt(u *blobUpload) bool {
	for p := range s.wants {
		switch {
		case p == u.place:
		case p.registry != u.place.registry:
			return true
		case u.registry.canMount() == no:
			return true
		case u.registry.canMount() == unknown && s.blob.Size <= smallSpool:
			return true
		}
	}
	return false
}

func rereadable(source content.Source) bool {
	r, ok := source.(content.Rereader)
	return ok && r.Rereadable()
}

// origins are where the blob may be read, the best first: its source, or, where that has
// been read in this run, a destination that has the blob since.
func (s *supply) origins(u *blobUpload) (from []content.Source, again bool) {
	s.mu.Lock()
	again, s.opened = s.opened, true
	s.mu.Unlock()
	if rereadable(u.source) {
		return []content.Source{u.source}, false
	}
	if again {
		if holder := s.engine.holder(s.blob.Digest); holder != nil {
			return []content.Source{holder, u.source}, true
		}
	}
	return []content.Source{u.source}, again
}

// stream reads an origin with the slots of both sides. It calls end at the end.
func (s *supply) stream(ctx context.Context, u *blobUpload, end func()) (io.ReadCloser, error) {
	origins, again := s.origins(u)
	var errs []error
	for _, from := range origins {
		body, err := s.read(ctx, from, 0, slotName(u.target), again)
		if err == nil {
			free := body.release
			body.release = func() { free(); end() }
			return body, nil
		}
		errs = append(errs, err)
	}
	end()
	return nil, errors.Join(errs...)
}

// read opens one origin at an offset, with its slot and that of the registry named write.
func (s *supply) read(ctx context.Context, from content.Source, offset int64, write string, again bool) (*countedBody, error) {
	release, err := s.engine.acquire(ctx, slotName(from), write, s.weight())
	if err != nil {
		return nil, err
	}
	body, err := openAt(ctx, from, s.blob, offset)
	if err != nil {
		release()
		return nil, err
	}
	return &countedBody{ReadCloser: body, counters: &s.engine.Counters, again: again, release: release}, nil
}

// slotName is the registry whose slots a stream needs; what is on this machine needs none.
func slotName(at content.Source) string {
	if rereadable(at) {
		return ""
	}
	return at.Location().Registry
}

// openAt opens a blob at an offset: by a range where the source can, else by reading what
// comes before.
func openAt(ctx context.Context, source content.Source, d content.Descriptor, offset int64) (io.ReadCloser, error) {
	if offset == 0 {
		return source.FetchBlob(ctx, d)
	}
	if ranges, ok := source.(content.RangeFetcher); ok {
		body, err := ranges.FetchBlobRange(ctx, d, offset, d.Size-offset)
		if !errors.Is(err, content.ErrUnsupported) {
			return body, err
		}
	}
	body, err := source.FetchBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, body, offset); err != nil {
		_ = body.Close()
		return nil, err
	}
	return body, nil
}

// countedBody counts what is read from a source, and holds the stream's slots.
type countedBody struct {
	io.ReadCloser
	counters *Counters
	again    bool
	once     sync.Once
	release  func()
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.counters.Read.Add(int64(n))
	if b.again {
		b.counters.Reread.Add(int64(n))
	}
	return n, err
}

// Close frees the slots; it may be called again.
func (b *countedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.release)
	return err
}
