package blobs

import (
	"cmp"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

const (
	// idleTimeout is how long an origin may yield no data before the read fails.
	idleTimeout = 10 * time.Second
	// stallTimeout is how long the destination's body stays open without data.
	stallTimeout = time.Minute
	// upEvery is the time between two checks of an origin that is down in the middle of a body.
	upEvery = 500 * time.Millisecond
	// progressBytes is how many bytes past the furthest point count as progress.
	progressBytes = 256 << 10
	// maxRereads is how often a blob is read again from an origin whose bytes did not match.
	maxRereads = 2
	// smallSpool is the size, in bytes, up to which a blob is spooled even if the registry mounts it as soon as a
	// manifest refers to it, so that a refused mount costs no second read.
	smallSpool = 1 << 20
)

// supply is one blob with all the items that need it. It feeds one of them by a stream, or several through a spool.
type supply struct {
	queue   *Queue
	blob    content.Descriptor
	items   map[*registry]*item
	filling *filling // that readers may join; nil if none
	// streaming has the stream to one place. Others wait for its end, and read from that place.
	streaming *want
	parked    []*want
	reached   atomic.Int64 // how far the blob has been read in this run, in bytes
	discarded spans        // was received, but not used
	budget    *retry.Budget
	// failedReads counts failed reads by origin, corruptReads those whose bytes did not match.
	failedReads  map[content.Location]int
	corruptReads map[content.Location]int
	last         *failure // of an origin
	from         Origin   // of what is, or was, in the spool
}

// unusable is the failedReads of an origin that cannot provide the blob.
const unusable = 1 << 20

// holders are the destinations that this run sent a blob to. q.mu is held.
func (s *supply) holders() []Origin {
	var holders []Origin
	for _, r := range s.queue.registries {
		var at map[string]*presence
		if it := s.items[r]; it != nil {
			at = it.at
		} else {
			at = r.locations.recall(s.blob.Digest)
		}
		for repository, p := range at {
			if place, known := r.places[repository]; known && p.put && (!p.unverified || p.since.IsZero()) {
				holders = append(holders, Origin{Source: place.Target, Ref: place.Ref, holder: true})
			}
		}
	}
	slices.SortFunc(holders, func(a, b Origin) int {
		return cmp.Compare(a.Source.Location().String(), b.Source.Location().String())
	})
	return holders
}

// remove removes an item, and the supply with its last item. q.mu is held.
func (s *supply) remove(it *item) {
	delete(s.items, it.registry)
	if s.leaveUnneeded(); len(s.items) == 0 {
		delete(s.queue.supplies, idOf(s.blob))
	}
}

// leaveUnneeded closes the filling to new readers once no item needs bytes any more. q.mu is held.
func (s *supply) leaveUnneeded() {
	for _, it := range s.items {
		if it.lacking() {
			return
		}
	}
	s.leaveFilling(s.filling)
}

// lacking reports whether an item may still need bytes from elsewhere.
func (it *item) lacking() bool {
	if it.registry.willMount() {
		for _, p := range it.at {
			if p.verified() {
				return false
			}
		}
	}
	for repository := range it.repositories {
		if !it.at[repository].verified() {
			return true
		}
	}
	return false
}

// peer is the peer whose read slots an origin needs; zero for an origin on this machine.
func (o Origin) peer() limit.Peer {
	if content.IsRereadable(o.Source) {
		return limit.Peer{}
	}
	at := o.Source.Location()
	return limit.Peer{Registry: at.Registry, Account: at.Account}
}

// origins are the origins of a blob, the best first: the sources of the wants, or, once the
// blob was read in this run, the destinations that have it. q.mu is held.
func (s *supply) origins() []Origin {
	q := s.queue
	var sources, holders []Origin
	seen := map[content.Location]bool{}
	add := func(to []Origin, o Origin) []Origin {
		at := o.Source.Location()
		lost := q.origins[originKey{idOf(s.blob), at}]
		if lost != nil && s.last == nil {
			s.last = lost // to an earlier image
		}
		if seen[at] || s.failedReads[at] >= unusable || lost != nil {
			return to
		}
		seen[at] = true
		return append(to, o)
	}
	for _, it := range s.items {
		for _, w := range it.wants {
			sources = add(sources, w.origin)
			for _, n := range w.needs {
				sources = add(sources, n.delivery.origin)
			}
		}
	}
	for _, o := range s.holders() {
		holders = add(holders, o)
	}
	slices.SortStableFunc(sources, func(a, b Origin) int {
		return cmp.Or(
			cmp.Compare(s.failedReads[a.Source.Location()], s.failedReads[b.Source.Location()]),
			cmp.Compare(a.Source.Location().String(), b.Source.Location().String()),
		)
	})
	if s.reached.Load() > 0 && (len(sources) == 0 || !content.IsRereadable(sources[0].Source)) {
		return append(holders, sources...)
	}
	return append(sources, holders...)
}

// dropOrigin notes that an origin cannot provide a blob. It reports whether another one is left.
func (s *supply) dropOrigin(f *failure) bool {
	q := s.queue
	long, down := q.limiterError(f)
	if lasting := !long && !down && !retry.Retryable(f.err); lasting && len(q.origins) < maxFailures {
		q.origins[originKey{idOf(s.blob), f.origin.Source.Location()}] = f
	}
	s.failedReads[f.origin.Source.Location()] = unusable
	s.last = f
	return len(s.origins()) > 0
}

// errReread: the bytes did not match the blob, which is to be read again.
var errReread = errors.New("the content did not match the digest")

// reportCorrupt records that an origin yielded bytes that do not match the blob. The blob is
// read again, up to maxRereads times from one origin.
func (s *supply) reportCorrupt(from Origin, err error) error {
	s.queue.lock()
	defer s.queue.unlock()
	at := from.Source.Location()
	s.corruptReads[at]++
	s.failedReads[at]++
	if s.corruptReads[at] > maxRereads {
		f := *failureOf(from.failure(err))
		if f.final = true; !s.dropOrigin(&f) {
			return &f
		}
	}
	return errReread
}

// reportFailure records that an origin failed. One that cannot provide the blob is dropped.
func (s *supply) reportFailure(from Origin, err error) {
	s.queue.lock()
	defer s.queue.unlock()
	if retry.Retryable(err) && !from.holder {
		s.failedReads[from.Source.Location()]++
		return
	}
	s.dropOrigin(failureOf(from.failure(err)))
}

// liveOrigins are the origins that are left, or the failure of the last one.
func (s *supply) liveOrigins() ([]Origin, error) {
	s.queue.lock()
	defer s.queue.unlock()
	origins := s.origins()
	if len(origins) > 0 {
		return origins, nil
	}
	f := failure{err: errNoOrigin}
	if s.last != nil {
		f = *s.last
	}
	f.final = true
	return nil, &f
}

// errNoOrigin: nothing needs the blob any more, so that it has no origins.
var errNoOrigin = errors.New("no source left to read the blob from")
