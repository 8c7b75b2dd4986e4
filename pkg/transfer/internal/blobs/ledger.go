package blobs

import (
	"cmp"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
)

// registry is what a run knows about one destination registry, reached under one account. All of it is guarded by Queue.mu.
type registry struct {
	name      string // Location.Registry
	peer      limit.Peer
	locations locations
	// refusals are the repositories that cannot be written to, and why.
	refusals map[string]*failure
	full     *failure // why nothing can be sent to any repository
	// admissions has the repositories that a want was queued for.
	admissions map[string]*admission
	// places are the repositories that were opened; their blobs can be read from them.
	places map[string]Place
	// absent counts the checks in a row that found no blob. A check that finds one sets it to -afterPresent.
	absent int
	abilities
}

const (
	// enoughAbsent is how many checks in a row must find no blob before the next blob is opened at its source early.
	enoughAbsent = 8
	// afterPresent is how many further checks must find no blob after one was found.
	afterPresent = 64
)

func (r *registry) noteCheck(there bool) {
	if r.absent++; there {
		r.absent = -afterPresent
	}
}

// admission is whether a repository accepts requests. Until the first one succeeds, one want
// at a time tries and the others wait, so that a registry refuses once, not for each of them.
type admission struct {
	granted bool  // a request was accepted, or was not refused for a while
	trial   *want // that tries; nil if none does
	parked  []*want
}

func (r *registry) admission(repository string) *admission {
	d := r.admissions[repository]
	if d == nil {
		d = &admission{}
		r.admissions[repository] = d
	}
	return d
}

func (r *registry) mayRun(w *want) bool {
	d := r.admission(w.repository)
	return d.granted || d.trial == nil || d.trial == w
}

// trialTimeout is how long the others wait for the first answer of a repository.
const trialTimeout = time.Second

// startTrial makes a running want the trial, if there is none.
func (r *registry) startTrial(w *want) {
	d := r.admission(w.repository)
	if d.granted || d.trial != nil {
		return
	}
	d.trial = w
	q := w.item.supply.queue
	time.AfterFunc(trialTimeout, func() {
		q.lock()
		defer q.unlock()
		if d.trial == w {
			d.granted = true
			w.endTrial()()
		}
	})
}

// parkForTrial parks a want until the trial ends, if another want is it. q.mu is held.
func (w *want) parkForTrial() bool {
	if w.item.registry.mayRun(w) {
		return false
	}
	d := w.item.registry.admission(w.repository)
	d.parked = append(d.parked, w)
	return true
}

// endTrial ends the trial of a want, if it is the trial. wake advances the parked wants. q.mu is held.
func (w *want) endTrial() (wake func()) {
	d := w.item.registry.admission(w.repository)
	if d.trial != w {
		return func() {}
	}
	d.trial = nil
	return func() {
		parked := d.parked
		d.parked = nil
		for _, other := range parked {
			w.item.supply.queue.advance(other)
		}
	}
}

// side is the end of a stream that failed.
type side uint8

const (
	atNone side = iota
	atDestination
	atSource
)

// failure is an error with its scope.
type failure struct {
	side     side
	origin   Origin // at the source
	place    Place  // at the destination; zero if it was not a request for a blob
	registry string // that received the request; empty for this machine
	err      error
	final    bool // must not be retried
	dropped  bool // the registry no longer knows the upload
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// failureOf is the failure in an error; one of no side, if there is none.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return &failure{err: err}
}

func (w *want) failure(err error) error {
	return &failure{side: atDestination, place: w.place, registry: w.item.registry.peer.Registry, err: err}
}

// sharedError is the failure of a blob in another repository, which is not tried again for this image. Its text and its
// [content.Answer] do not have the URL of that repository.
type sharedError struct {
	of  reference.Reference // the image that the blob failed for
	err error
}

func (e *sharedError) Error() string {
	return "not retried after a failure for " + e.of.Familiar() + ": " + e.Reason()
}

func (e *sharedError) Unwrap() error      { return e.err }
func (e *sharedError) RequestURL() string { return "" }
func (e *sharedError) Reason() string     { return content.AnswerOf(e.err).Reason }

func (o Origin) failure(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return &failure{side: atSource, origin: o, registry: o.peer().Registry, err: err}
}

func (r *registry) refusal(repository string) *failure { return cmp.Or(r.full, r.refusals[repository]) }

// noteRefusal records an error that applies to the whole repository or registry. It reports whether f is one.
func (r *registry) noteRefusal(repository string, f *failure) bool {
	err := f.err
	switch {
	case f.side != atDestination || f.dropped:
		return false
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		r.full = f
	case errors.Is(err, content.ErrUnauthorized), errors.Is(err, content.ErrDenied),
		errors.Is(err, content.ErrQuota), errors.Is(err, content.ErrNotFound):
		r.refusals[repository] = f
	default:
		return false
	}
	return true
}

// locations are the repositories of blobs that no delivery needs at the moment. They take at
// most 100 bytes a blob, because a run may have a million.
type locations struct {
	repositories []string
	numbers      map[string]uint32
	// one has the blobs in one repository, many those in several.
	one  map[[32]byte]uint32
	many map[string][]uint32
}

// A location is the number of a repository and two bits.
const (
	bitCommitted = 1 << iota // a manifest of this run refers to the blob
	bitPut                   // this run sent it
	bits         = iota
)

func (l *locations) keep(d digest.Digest, at map[string]*presence) {
	if l.numbers == nil {
		l.numbers, l.one, l.many = map[string]uint32{}, map[[32]byte]uint32{}, map[string][]uint32{}
	}
	var all []uint32
	for _, repository := range slices.Sorted(maps.Keys(at)) {
		p := at[repository]
		if p.unverified {
			continue
		}
		n := l.number(repository) << bits
		if p.committed {
			n |= bitCommitted
		}
		if p.put {
			n |= bitPut
		}
		all = append(all, n)
	}
	sum, ok := sumOf(d)
	delete(l.many, string(d))
	switch {
	case len(all) == 0:
	case len(all) == 1 && ok:
		l.one[sum] = all[0]
		return
	default:
		l.many[string(d)] = all
	}
	delete(l.one, sum)
}

// recall returns the known repositories of a blob. One without a manifest is unverified,
// because the registry may have garbage-collected the blob since.
func (l *locations) recall(d digest.Digest) map[string]*presence {
	at := map[string]*presence{}
	all := l.many[string(d)]
	if sum, ok := sumOf(d); ok {
		if n, known := l.one[sum]; known {
			all = []uint32{n}
		}
	}
	for _, n := range all {
		at[l.repositories[n>>bits]] = &presence{
			committed: n&bitCommitted != 0, put: n&bitPut != 0, unverified: n&bitCommitted == 0,
		}
	}
	return at
}

func (l *locations) number(repository string) uint32 {
	n, known := l.numbers[repository]
	if !known {
		n = uint32(len(l.repositories))
		l.repositories = append(l.repositories, repository)
		l.numbers[repository] = n
	}
	return n
}

// sumOf decodes a sha256 digest. It reports false for other digests.
func sumOf(d digest.Digest) (sum [32]byte, ok bool) {
	if d.Algorithm() != digest.SHA256 {
		return sum, false
	}
	n, err := hex.Decode(sum[:], []byte(d.Encoded()))
	return sum, err == nil && n == len(sum)
}
