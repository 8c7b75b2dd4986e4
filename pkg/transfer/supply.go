package transfer

import (
	"context"
	"sync"

	"github.com/opencontainers/go-digest"

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
	wants   map[place]int
	filling *filling // the one that may be joined; nil while there is none
	// streaming is closed when the stream to a single place ends; nil while there is none.
	streaming chan struct{}
	// forsaken: a destination that has the blob did not give it back. The sources do.
	forsaken bool
}

// want notes that a place needs the blob.
func (s *supply) want(p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wants[p]++
}

// settle takes back one want and frees the spool with the last. It reports whether any
// want is left.
func (s *supply) settle(p place) (live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wants[p]--; s.wants[p] <= 0 {
		delete(s.wants, p)
	}
	return s.liveLocked()
}

// arrived takes back all wants of a place, also of images that have not come to the blob
// yet: what they wait for may need the space.
func (s *supply) arrived(p place) (live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.wants, p)
	return s.liveLocked()
}

func (s *supply) liveLocked() bool {
	if len(s.wants) > 0 {
		return true
	}
	s.dropLocked(s.filling)
	return false
}

// weight is the priority of the blob's streams: what is much shared and big goes first.
func (s *supply) weight() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blob.Size * int64(max(1, len(s.wants)))
}

// open yields the blob from its start, for one attempt at one place. It holds the stream's
// slots until it is closed. Its errors say themselves which side they come from.
func (s *supply) open(ctx context.Context, u *blobUpload) (reading, error) {
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
	return s.follow(ctx, f, u)
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
		case u.registry.canMount() != yes && s.blob.Size <= smallSpool:
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
func (s *supply) origins(u *blobUpload) []origin {
	own := u.own()
	if rereadable(u.source) || s.engine.readUpTo(s.blob) == 0 || s.isForsaken() {
		return []origin{own}
	}
	if holder, found := s.engine.holder(s.blob.Digest); found {
		return []origin{holder, own}
	}
	return []origin{own}
}

func (s *supply) isForsaken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forsaken
}

// blame says whose error it is that came of reading from. A destination that fails is not
// read again.
func (s *supply) blame(from origin, err error) error {
	if from.side == SideDestination {
		s.mu.Lock()
		s.forsaken = true
		s.mu.Unlock()
	}
	return from.blame(err)
}

// stream reads the blob with the slots of both sides. It calls end at the end.
func (s *supply) stream(ctx context.Context, u *blobUpload, end func()) (reading, error) {
	body, err := s.read(ctx, u, 0, slotName(u.target))
	if err != nil {
		end()
		return nil, err
	}
	free := body.release
	body.release = func() { free(); end() }
	return body, nil
}

// read opens the best origin at an offset, with its slot and that of the registry named
// write.
func (s *supply) read(ctx context.Context, u *blobUpload, offset int64, write string) (body *originBody, err error) {
	for _, from := range s.origins(u) {
		if body, err = s.readFrom(ctx, from, offset, write); err == nil {
			break
		}
	}
	return body, err
}

func (s *supply) readFrom(ctx context.Context, from origin, offset int64, write string) (*originBody, error) {
	release, err := s.engine.acquire(ctx, slotName(from.Source), write, s.weight())
	if err != nil {
		return nil, err
	}
	body, err := s.openAt(ctx, from, offset)
	if err != nil {
		release()
		return nil, err
	}
	body.release = release
	return body, nil
}

// slotName is the registry whose slots a stream needs; what is on this machine needs none.
func slotName(at content.Source) string {
	if rereadable(at) {
		return ""
	}
	return at.Location().Registry
}
