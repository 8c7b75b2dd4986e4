// Package blobs copies blobs to the repositories that need them.
//
// Start at [Queue.Open]. A [Delivery] is one image for one destination: it announces the blobs that it may need, requests them,
// waits, and is released. The queue keeps one item for a blob at each destination registry, whichever images and repositories
// need it. An item is found, mounted or sent, and retried, by at most one goroutine for each slot of the limiter; an item that
// waits is a small struct in a heap.
//
// The package guarantees that a source is read once for all registries that need a blob at the same time, that an upload
// session is opened only while a write slot is held, and that the holder of a read slot never waits for another slot.
//
// Lock order: Queue.mu, then the lock of the limiter or of a spool. Queue.mu is never held
// during a request, an event or a call of Options.Abilities or Options.Hints.
package blobs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/reference"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
)

// Outcome is how a delivery got a blob.
type Outcome string

// The outcomes of a blob.
const (
	Exists  Outcome = "exists"
	Mounted Outcome = "mounted"
	Sent    Outcome = "sent"
)

// Origin is a place to read a blob from; errors name it by Ref.
type Origin struct {
	Source content.Source
	Ref    reference.Reference
	// holder: it is a destination that has the blob, not a source.
	holder bool
}

// Place is the repository that blobs go to; errors and events name it by Ref.
type Place struct {
	Target content.Target
	Ref    reference.Reference
}

// Observer receives the events of blobs. Its methods are called concurrently, with no lock held, and must not block.
type Observer interface {
	// BlobStarted is called before an attempt sends its first byte. The place has inherited bytes from an earlier process,
	// and sent bytes from earlier attempts. The result counts the bytes from there.
	BlobStarted(to reference.Reference, blob content.Descriptor, inherited, sent int64) Progress
	BlobRetrying(to reference.Reference, blob content.Descriptor, attempt int, wait time.Duration, err error)
	// BlobDone is called once for each blob that a delivery needed, in that delivery's Wait
	// or Release. from is the repository it was mounted from.
	BlobDone(to reference.Reference, blob content.Descriptor, outcome Outcome, from string, err error)
	// BytesRead counts n bytes read from an origin, BytesSent those passed to a destination. again are
	// those of them that were read before in this run, or passed before in this run or, as far as is known, an earlier one.
	BytesRead(n, again int64)
	BytesSent(n, again int64)
	// StreamEnded is called at the end of each stream of 1 MiB or more, with the time that it waited for the source, and
	// with the time that it waited for the destination.
	StreamEnded(reading, writing time.Duration)
	// UploadLost is called when a registry does not continue an upload whose connection broke.
	UploadLost(registry string)
}

// Progress counts the bytes of one blob in flight.
type Progress interface{ Add(n int64) }

// Abilities remembers between runs what registries were seen to do.
type Abilities interface {
	Ability(registry, ability string) (seen string, known bool)
	KeepAbility(registry, ability, seen string)
}

// Uploads remembers uploads between processes.
type Uploads interface {
	OpenUpload(place string, blob digest.Digest) Record
}

// Record is what is remembered of one upload.
type Record interface {
	// Saved returns what was saved last: the session, and the state of [content.Stream].
	Saved() (session string, state []byte, known bool)
	Save(session string, state []byte)
	// Forget ends the upload. Release leaves it, as it was saved last, to a later process.
	Forget()
	Release()
}

// Options configures a queue. Only Hints, Abilities and Uploads may be nil.
type Options struct {
	Limiter *limit.Limiter
	// Retry is the budget of an item.
	Retry    retry.Policy
	Spools   *spool.Pool
	Observer Observer
	// Hints names repositories of a registry that may have a blob, the likeliest first.
	Hints     func(registry string, blob digest.Digest) []string
	Abilities Abilities
	Uploads   Uploads
	// Draining is the error of items that had sent no byte when the queue was drained.
	Draining error
	// AtSource and AtDestination add to an error the side that it comes from.
	AtSource, AtDestination func(reference.Reference, error) error
}

// Queue copies the blobs of one run.
type Queue struct {
	options Options
	ctx     context.Context // of the run: items outlive the deliveries that need them
	// running counts streams that wait in the limiter, runners, timers and spool writers.
	running sync.WaitGroup
	buffers buffers // of prefetches
	lines   lines

	mu          sync.Mutex
	draining    bool
	kept        int   // uploads that broke and wait for their next attempt
	records     int   // that are open
	retained    int64 // bytes of memory that are reserved for small blobs
	registries  map[limit.Peer]*registry
	items       map[itemKey]*item
	supplies    map[blobID]*supply
	failures    map[itemKey]*failure
	origins     map[originKey]*failure // that cannot provide a blob
	afterUnlock []func()               // called after mu is released
}

// New makes the queue of a run, which ends with ctx.
func New(ctx context.Context, options Options) *Queue {
	return &Queue{
		options: options, ctx: ctx,
		registries: map[limit.Peer]*registry{}, items: map[itemKey]*item{},
		supplies: map[blobID]*supply{}, failures: map[itemKey]*failure{}, origins: map[originKey]*failure{},
		lines: lines{memory: options.Abilities},
	}
}

// blobID is a blob as a manifest describes it. It includes the size, so that a manifest with
// a wrong size does not affect other manifests.
type blobID struct {
	digest digest.Digest
	size   int64
}

func idOf(d content.Descriptor) blobID { return blobID{d.Digest, d.Size} }

// itemKey is a blob at a destination registry.
type itemKey struct {
	blob     blobID
	registry *registry
}

// originKey is a blob at a place to read it from.
type originKey struct {
	blob blobID
	at   content.Location
}

func (q *Queue) lock() { q.mu.Lock() }

// unlock releases mu, then calls the functions in afterUnlock.
func (q *Queue) unlock() {
	after := q.afterUnlock
	q.afterUnlock = nil
	q.mu.Unlock()
	for _, do := range after {
		do()
	}
}

// Drain ends the items that have sent no byte, except for mounts from a repository that
// is known to have the blob. Items that wait for their next attempt end, too.
func (q *Queue) Drain() {
	q.lock()
	defer q.unlock()
	q.draining = true
	for _, it := range q.items {
		for _, w := range slices.Collect(maps.Values(it.wants)) {
			if q.stop(w); w.state == running && !w.moving {
				w.cancel()
			}
			q.advance(w)
		}
	}
	for _, s := range q.supplies {
		s.leaveFilling(s.filling)
	}
}

// ResetFailures forgets retryable failures, so that each of those items can be tried once more.
func (q *Queue) ResetFailures() {
	q.lock()
	defer q.unlock()
	maps.DeleteFunc(q.failures, func(_ itemKey, f *failure) bool { return retry.Retryable(f.err) })
	q.options.Retry.Attempts = 1
	for _, it := range q.items { // that are still announced
		it.budget = q.options.Retry.NewBudget()
	}
	for _, s := range q.supplies {
		s.budget = q.options.Retry.NewBudget()
	}
}

// Close waits for all work in flight. All deliveries must have been released.
func (q *Queue) Close() { q.running.Wait() }

// Pending is the number of items that are needed or in flight.
func (q *Queue) Pending() int {
	q.lock()
	defer q.unlock()
	return len(q.items)
}

// Delivery is one image for one destination. Its methods may be called concurrently.
type Delivery struct {
	queue      *Queue
	origin     Origin
	place      Place
	registry   *registry
	repository string
	order      int64

	// Guarded by queue.mu.
	needs   map[blobID]*need
	changed chan struct{} // closed and replaced when a need settles
	failed  error         // of the first need that failed
	ended   bool
	// manifests: a manifest was pushed, which may refer to blobs that the delivery put.
	manifests bool
}

// need is a blob that a delivery may need.
type need struct {
	delivery *Delivery
	item     *item
	blob     content.Descriptor
	wanted   bool // not only announced
	settled  bool
	reported bool
	moved    bool // this run put the blob there
	outcome  Outcome
	from     string
	err      error
}

// Open creates the delivery of an image. order is its position in the file. The caller must release it.
func (q *Queue) Open(order int64, origin Origin, place Place) *Delivery {
	return &Delivery{
		queue: q, origin: origin, place: place, order: order,
		registry: q.registry(place), repository: place.Target.Location().Repository,
		needs: map[blobID]*need{}, changed: make(chan struct{}),
	}
}

// registry returns the state of the registry of a target. It reads what earlier runs remembered before it takes the lock.
func (q *Queue) registry(place Place) *registry {
	at := place.Target.Location()
	peer := limit.Peer{Registry: at.Registry, Account: at.Account}
	q.lock()
	r := q.registries[peer]
	q.unlock()
	var recalled abilities
	if r == nil {
		recalled = recall(q.options.Abilities, at.Registry)
	}
	q.lock()
	defer q.unlock()
	if r = q.registries[peer]; r == nil {
		r = &registry{
			name: at.Registry, peer: peer, abilities: recalled,
			refusals: map[string]*failure{}, admissions: map[string]*admission{}, places: map[string]Place{},
		}
		q.registries[peer] = r
	}
	if _, known := r.places[at.Repository]; !known {
		r.places[at.Repository] = Place{Target: place.Target, Ref: place.Ref.WithoutIdentifier()}
	}
	return r
}

// Refused is why nothing can be sent to the destination's repository or registry in this run, or nil.
func (d *Delivery) Refused() error {
	d.queue.lock()
	defer d.queue.unlock()
	if f := d.registry.refusal(d.repository); f != nil {
		return d.queue.attribute(f, d.origin, d.place)
	}
	return nil
}

// Refuse reports an error of a manifest or tag at the destination. If the account may not
// write to the repository, nothing else is sent there.
func (d *Delivery) Refuse(err error) {
	d.queue.lock()
	defer d.queue.unlock()
	f := &failure{side: atDestination, registry: d.registry.peer.Registry, err: err}
	if !errors.Is(err, content.ErrNotFound) && d.registry.noteRefusal(d.repository, f) {
		d.queue.refuseAll(d.registry)
	}
}

// Announce says that the destination may need blobs. A blob that more than one registry may need is read once for all of them.
func (d *Delivery) Announce(blobs ...content.Descriptor) {
	d.queue.lock()
	defer d.queue.unlock()
	for _, blob := range blobs {
		d.announce(blob)
	}
}

func (d *Delivery) announce(blob content.Descriptor) *need {
	n := d.needs[idOf(blob)]
	if n == nil && !d.ended {
		n = &need{delivery: d, blob: blob, item: d.queue.item(blob, d.registry)}
		n.item.needs++
		n.item.repositories[d.repository]++
		d.needs[idOf(blob)] = n
	}
	return n
}

// Need requests blobs for the repository. It does not wait.
func (d *Delivery) Need(blobs ...content.Descriptor) {
	d.queue.lock()
	defer d.queue.unlock()
	for _, blob := range blobs {
		if n := d.announce(blob); n != nil && !n.wanted {
			d.want(n)
		}
	}
}

// Recheck requests blobs that the registry reports as missing although they were settled: each is checked again, and
// sent if it is missing. A blob that was mounted is sent instead: during garbage collection Harbor grants mounts and
// then refuses the manifest.
func (d *Delivery) Recheck(blobs ...content.Descriptor) { d.recheck(false, blobs...) }

// recheck implements Recheck. mayMount is true if no manifest was refused, so that blobs may be mounted again.
func (d *Delivery) recheck(mayMount bool, blobs ...content.Descriptor) {
	d.queue.lock()
	defer d.queue.unlock()
	for _, blob := range blobs {
		n := d.announce(blob)
		if n == nil || n.wanted && !n.settled {
			continue
		}
		if p := n.item.at[d.repository]; p != nil {
			p.unverified, p.unmountable = true, p.mounted && !mayMount
		}
		n.settled, n.moved = false, false
		d.want(n)
	}
}

// want adds a need to the want of its repository. queue.mu is held.
func (d *Delivery) want(n *need) {
	n.wanted = true
	w := n.item.wants[d.repository]
	if w == nil {
		w = &want{item: n.item, repository: d.repository, place: d.place, origin: d.origin}
		n.item.wants[d.repository] = w
	}
	if len(w.needs) == 0 || d.order < w.order {
		w.order = d.order
	}
	w.needs = append(w.needs, n)
	if w.state == queued {
		d.queue.options.Limiter.Reorder(w.stream, w.order/groupSize, w.weight())
	}
	d.queue.advance(w)
}

// errReleased: the delivery ended while something waited for its blobs.
var errReleased = errors.New("the delivery has ended")

// staleAfter is how long a blob without a manifest is assumed to exist. Registries
// garbage-collect such blobs: zot after one hour, Harbor after two.
const staleAfter = 30 * time.Minute

// Wait returns when the given blobs, which were passed to Need, are in the repository, or when
// any blob of the delivery has failed. moved reports whether this run put any of them there.
func (d *Delivery) Wait(ctx context.Context, blobs ...content.Descriptor) (moved bool, err error) {
	q := d.queue
	for {
		q.lock()
		d.report()
		err, changed, released := d.failed, d.changed, d.ended
		pending, moved := false, false
		var stale []content.Descriptor
		for _, blob := range blobs {
			n := d.needs[idOf(blob)]
			if n == nil {
				continue
			}
			pending = pending || !n.settled
			moved = moved || n.moved
			if p := n.item.at[d.repository]; n.settled && p != nil && !p.committed && time.Since(p.since) > staleAfter {
				stale = append(stale, blob)
			}
		}
		q.unlock()
		switch {
		case err != nil:
			return false, err
		case !pending && len(stale) == 0:
			return moved, nil
		case released:
			return false, errReleased
		case !pending:
			d.recheck(true, stale...)
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false, d.interrupted(context.Cause(ctx), blobs)
		}
	}
}

// interrupted returns why the given blobs are not in the repository at the end of the run.
func (d *Delivery) interrupted(ended error, blobs []content.Descriptor) error {
	d.queue.lock()
	defer d.queue.unlock()
	for _, blob := range blobs {
		n := d.needs[idOf(blob)]
		if n == nil || n.settled {
			continue
		}
		if w := n.item.wants[d.repository]; w != nil && w.last != nil {
			return d.queue.attribute(w.unfinished(ended), d.origin, d.place)
		}
	}
	return ended
}

// report calls the observer for settled needs that were not reported. queue.mu is held.
func (d *Delivery) report() {
	for _, n := range d.needs {
		if !n.wanted || !n.settled || n.reported {
			continue
		}
		n.reported = true
		done := *n
		d.queue.afterUnlock = append(d.queue.afterUnlock, func() {
			d.queue.options.Observer.BlobDone(d.place.Ref, done.blob, done.outcome, done.from, done.err)
		})
	}
}

// PushedManifest records that the registry may have a manifest of the delivery from now on.
func (d *Delivery) PushedManifest() {
	d.queue.lock()
	defer d.queue.unlock()
	d.manifests = true
}

// Release ends the delivery. done says that manifests at the destination now refer to all of its blobs. Blobs that have not
// started are withdrawn, unless another delivery needs them. Blobs in flight go on; with interrupted they end, unless another
// delivery needs them. Further calls do nothing.
func (d *Delivery) Release(done, interrupted bool) {
	q := d.queue
	q.lock()
	defer q.unlock()
	if d.ended {
		return
	}
	d.ended = true
	close(d.changed) // work that is shared with other deliveries may wait here
	d.changed = make(chan struct{})
	d.report()
	for _, n := range d.needs {
		it := n.item
		if p := it.at[d.repository]; p != nil && n.settled && n.err == nil {
			p.committed = p.committed || done
			if done && d.registry.mounts == committed {
				delete(it.refused, d.repository)
			}
		}
		if it.repositories[d.repository]--; it.repositories[d.repository] == 0 {
			delete(it.repositories, d.repository)
		}
		if it.needs--; n.wanted {
			q.withdraw(it.wants[d.repository], n, interrupted)
		}
		q.wake(it)
		q.retire(it)
	}
}

// settle ends a need. queue.mu is held.
func (n *need) settle(outcome Outcome, from string, moved bool, err error) {
	d := n.delivery
	n.settled, n.moved, n.err = true, n.moved || moved, err
	if !n.reported {
		n.outcome, n.from = outcome, from
	}
	if err != nil && d.failed == nil {
		d.failed = err
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

// attribute adds to a failure the side that failed, as a delivery from an origin to a place names it.
func (q *Queue) attribute(f *failure, from Origin, to Place) error {
	switch {
	case f.side == atNone:
		return f.err
	case f.side == atDestination:
		if at := f.place.Target; at != nil && at.Location() != to.Target.Location() {
			return q.options.AtDestination(to.Ref, &sharedError{f.place.Ref, f.err})
		}
		return q.options.AtDestination(to.Ref, f.err)
	case f.origin.holder:
		return q.options.AtDestination(f.origin.Ref, f.err)
	case f.origin.Source.Location() == from.Source.Location():
		return q.options.AtSource(from.Ref, f.err)
	default:
		return q.options.AtSource(from.Ref, &sharedError{f.origin.Ref, f.err})
	}
}

// isEnded reports whether an error comes from the end of ctx, not from a blob.
func isEnded(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, ctx.Err()) || errors.Is(err, context.Canceled))
}
