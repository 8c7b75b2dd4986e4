package transfer

import (
	"cmp"
	"slices"
)

// makeRoom frees space for spooling where less than size bytes are left: the readers that
// are furthest behind are dropped and served later, from a destination that has the blob.
// Only spools that are full give way, and only where there is such a destination: nothing
// is read from a source again.
func (e *Engine) makeRoom(size int64) {
	missing := size - e.spools.Free()
	if missing <= 0 {
		return
	}
	for _, c := range e.laggards() {
		if missing <= 0 {
			return
		}
		if c.supply.abandon(c.filling) {
			missing -= c.supply.blob.Size
		}
	}
}

// laggard is a spool that may give way.
type laggard struct {
	supply  *supply
	filling *filling
	behind  int64 // bytes that its slowest reader has not read
}

// laggards are the spools that may give way, the one furthest behind first.
func (e *Engine) laggards() []laggard {
	e.mu.Lock()
	supplies := make([]*supply, 0, len(e.supplies))
	for _, s := range e.supplies {
		supplies = append(supplies, s)
	}
	e.mu.Unlock()
	var found []laggard
	for _, s := range supplies {
		if _, held := e.holder(s.blob.Digest); !held || s.isForsaken() {
			continue
		}
		if f, behind := s.lag(); f != nil {
			found = append(found, laggard{s, f, behind})
		}
	}
	slices.SortFunc(found, func(a, b laggard) int { return cmp.Compare(b.behind, a.behind) })
	return found
}

// lag is how far the slowest reader of a full spool is behind; there is none where the
// spool is nil.
func (s *supply) lag() (f *filling, behind int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f = s.filling
	if f == nil || len(f.reading) == 0 || !f.spool.Complete() {
		return nil, 0
	}
	for body := range f.reading {
		behind = max(behind, s.blob.Size-body.offset.Load())
	}
	return f, behind
}

// abandon drops a spool and all its readers, unless it is gone already.
func (s *supply) abandon(f *filling) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filling != f {
		return false
	}
	f.spool.Abandon()
	s.dropLocked(f)
	return true
}
