package blobs

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
)

// groupSize is how many deliveries, in the file's order, are one group: within it the blobs
// with the most to gain go first, whatever their order.
const groupSize = 32

const (
	// confirmEvery is the time between two checks for a blob whose commit was not answered
	// in time, and confirmFor is when they end. Object stores take long to copy a blob.
	confirmEvery = 10 * time.Second
	// firstLook is the time to the second check for a blob whose commit may be in progress. The pauses grow.
	firstLook  = time.Second
	confirmFor = 15 * time.Minute
)

// item is a blob that deliveries need at one destination registry.
type item struct {
	blob         content.Descriptor
	registry     *registry
	supply       *supply
	needs        int                  // of deliveries that have not been released
	repositories map[string]int       // the same, by repository
	at           map[string]*presence // by repository
	wants        map[string]*want     // by repository
	refused      map[string]bool      // repositories that it could not be mounted from
	uncommitted  string               // the last of them that had the blob but no manifest for it
	leader       *want                // sends the bytes, for others to mount; nil if none
	parked       []*want              // wait for the leader, or for a manifest
	budget       *retry.Budget
	uncounted    time.Time // of the last failure that used no attempt, because the registry was down
}

// presence is a blob in a repository.
type presence struct {
	since      time.Time // when it was last seen; zero where a manifest refers to it
	committed  bool      // a manifest of this run refers to it
	put        bool      // this run sent it
	by         *Delivery // that sent it; nil if it existed or the delivery has ended
	mounted    bool      // this run mounted it
	unverified bool      // must be checked before it is relied on
	// unmountable: it was mounted, but a manifest was refused. It must be sent.
	unmountable bool
}

// verified reports whether the repository is known to have the blob. p may be nil.
func (p *presence) verified() bool { return p != nil && !p.unverified }

// mustSend reports whether the blob must not be mounted into the repository again. p may be nil.
func (p *presence) mustSend() bool { return p != nil && p.unmountable }

// want is an item in one repository that lacks it.
type want struct {
	item       *item
	repository string
	place      Place  // of the first delivery that needs it
	origin     Origin // of the same
	needs      []*need
	order      int64 // the first of the needs'
	state      state
	stream     *limit.Stream      // while it is queued
	timer      *time.Timer        // while it pauses
	cancel     context.CancelFunc // while it runs
	moving     bool               // its bytes move
	// unconfirmed is when a commit was first not answered in time; zero if none was.
	unconfirmed time.Time
	last        *failure // of the last attempt, until bytes move again; nil if it did not fail
	reached     int64    // how far it was sent, also by an earlier process; only its attempts use it
	retained    []byte   // the bytes of a small blob that were read so far; the same
	broken      *sending // an upload that the next attempt continues; nil if none
	record      Record   // of the upload, for a later process; nil if none is open
	recalls     int      // how often it was tried to continue what an earlier process has left
	shrunk      int      // how often an attempt followed at once, with smaller requests
	reread      int      // how often the content did not match the digest, and the blob was read again
	// unspooled: its spool failed, as on a full disk, and it is streamed instead.
	unspooled bool
}

// state is the state of a want. A parked want is idle.
type state uint8

const (
	idle    state = iota
	queued        // waits for its slots
	running       // has its slots
	pausing       // waits for its next attempt
)

// item finds or creates the item of a blob at a registry. q.mu is held.
func (q *Queue) item(blob content.Descriptor, r *registry) *item {
	key := itemKey{idOf(blob), r}
	it := q.items[key]
	if it == nil {
		it = &item{
			blob: blob, registry: r, at: r.locations.recall(blob.Digest), wants: map[string]*want{},
			refused: map[string]bool{}, repositories: map[string]int{}, budget: q.options.Retry.NewBudget(),
		}
		it.supply = q.supply(it)
		q.items[key] = it
	}
	return it
}

// supply finds or creates the supply of an item. q.mu is held.
func (q *Queue) supply(it *item) *supply {
	id := idOf(it.blob)
	s := q.supplies[id]
	if s == nil {
		s = &supply{
			queue: q, blob: it.blob, items: map[*registry]*item{},
			failedReads: map[content.Location]int{}, corruptReads: map[content.Location]int{},
			budget: q.options.Retry.NewBudget(),
		}
		q.supplies[id] = s
	}
	s.items[it.registry] = it
	if len(s.holders()) > 0 {
		s.reached.Store(it.blob.Size)
	}
	return s
}

// retire reduces an item that nothing needs any more to its locations. q.mu is held.
func (q *Queue) retire(it *item) {
	key := itemKey{idOf(it.blob), it.registry}
	if it.needs > 0 || q.items[key] != it {
		return
	}
	for _, w := range it.wants {
		if w.state != idle {
			return
		}
	}
	delete(q.items, key)
	it.registry.locations.keep(it.blob.Digest, it.at)
	it.supply.remove(it)
}

// advance decides what an idle want does next: it ends, is parked, or waits for its slots. q.mu is held.
func (q *Queue) advance(w *want) {
	if w.state != idle {
		return
	}
	from, needsSlots := q.decide(w)
	if !needsSlots {
		return
	}
	w.state = queued
	stream := &limit.Stream{To: w.item.registry.peer, Group: w.order / groupSize, Weight: w.weight()}
	if from == "" && w.unconfirmed.IsZero() && (w.broken == nil || !w.broken.full) {
		stream.Size = w.item.blob.Size
		if origins := w.item.supply.origins(); len(origins) > 0 {
			stream.From = origins[0].peer()
		}
	}
	stream.Run = q.runner(w, stream)
	w.stream = stream
	q.running.Add(1)
	q.options.Limiter.Enqueue(stream)
}

// decide ends or parks a want, or reports that it needs slots, from what the run knows.
// mountFrom is a repository that the blob can be mounted from; empty if none. q.mu is held.
func (q *Queue) decide(w *want) (mountFrom string, needsSlots bool) {
	it := w.item
	if len(w.needs) == 0 {
		q.drop(w)
		return "", false
	}
	if p := it.at[w.repository]; p.verified() {
		continuation{q, w}.discard()
		q.settle(w, Exists, "", p.put, nil)
		return "", false
	}
	if f := cmp.Or(it.registry.refusal(w.repository), q.failures[itemKey{idOf(it.blob), it.registry}]); f != nil {
		q.settle(w, "", "", false, f)
		return "", false
	}
	if !w.unconfirmed.IsZero() && !q.draining {
		return "", true
	}
	if w.parkForTrial() {
		return "", false
	}
	mountFrom, wait := it.mountable(w)
	switch {
	case mountFrom != "":
		return mountFrom, true
	case q.draining && (it.leader == nil || !it.leader.moving || !it.registry.shares(w.place.Target)):
		q.settle(w, "", "", false, w.unfinished(q.options.Draining))
		return "", false
	case wait || it.leader != nil && it.leader != w && it.registry.shares(w.place.Target):
		it.parked = append(it.parked, w)
		return "", false
	case it.supply.streaming != nil && !content.IsRereadable(w.origin.Source):
		it.supply.parked = append(it.supply.parked, w)
		return "", false
	}
	if it.leader == nil {
		it.leader = w
	}
	return "", true
}

// weight orders streams within a group: large blobs that many places need go first.
func (w *want) weight() int64 {
	places := 0
	for _, it := range w.item.supply.items {
		places += len(it.wants)
	}
	return w.item.blob.Size * int64(max(1, places))
}

// runner returns the function that a want's stream runs with its slots, or with the error that it gets instead.
func (q *Queue) runner(queued *want, stream *limit.Stream) func(*limit.Slots, error) {
	return func(slots *limit.Slots, err error) {
		defer q.running.Done()
		if slots != nil {
			defer slots.Release()
		}
		ctx, cancel := context.WithCancel(q.ctx)
		defer cancel()
		w := q.begin(queued, stream, cancel)
		if w == nil {
			return
		}
		a := &attempt{continuation: continuation{q, w}, slots: slots}
		began := time.Now()
		var done completion
		if err == nil {
			done, err = a.move(ctx)
		} else {
			err = a.atPeer(err)
		}
		if err == nil {
			q.complete(w, done)
		} else {
			q.fail(ctx, w, err, time.Since(began))
		}
	}
}

// begin starts a queued want, and returns it; nil if the want no longer needs slots. A leader
// hands over to the first parked want in the file's order, which is returned instead.
func (q *Queue) begin(w *want, stream *limit.Stream, cancel context.CancelFunc) *want {
	q.lock()
	defer q.unlock()
	if w.stream != stream || w.state != queued {
		return nil
	}
	w.state, w.stream = idle, nil
	if _, needsSlots := q.decide(w); !needsSlots {
		q.retire(w.item)
		return nil
	}
	it := w.item
	if it.leader == w && w.unconfirmed.IsZero() && w.broken == nil {
		for i, other := range it.parked {
			if other.state == idle && len(other.needs) > 0 && other.order < it.leader.order && it.at[other.repository] == nil &&
				it.registry.mayRun(other) {
				it.parked[i], it.leader = it.leader, other
			}
		}
		w = it.leader
	}
	it.registry.startTrial(w)
	w.state, w.cancel, w.moving = running, cancel, false
	return w
}

// completion is how an attempt succeeded.
type completion struct {
	outcome Outcome
	from    string
}

// complete records that a blob is in a repository, and wakes the wants that waited for it.
func (q *Queue) complete(w *want, a completion) {
	q.lock()
	defer q.unlock()
	w.state = idle
	it := w.item
	before := it.at[w.repository]
	p := &presence{since: time.Now(), put: a.outcome == Sent || before != nil && before.put, mounted: a.outcome == Mounted}
	if a.outcome == Sent && len(w.needs) > 0 {
		p.by = w.needs[0].delivery
	}
	it.at[w.repository] = p
	it.supply.leaveUnneeded()
	continuation{q, w}.discard()
	if a.outcome != Sent {
		continuation{q, w}.forgetEarlier()
	}
	q.settle(w, a.outcome, a.from, a.outcome != Exists, nil)
	w.endTrial()()
	q.endLead(w)
	q.retire(it)
}

// fail decides what follows a failed attempt of a want.
func (q *Queue) fail(ctx context.Context, w *want, err error, took time.Duration) {
	q.lock()
	defer q.unlock()
	w.state, w.moving = idle, false
	it := w.item
	wakeStream, wakeTrial := it.supply.endStream(q, w), w.endTrial()
	defer q.retire(it)
	defer wakeStream()
	defer wakeTrial()
	f := failureOf(err)
	pause, down := q.limiterError(f)
	switch {
	case q.ctx.Err() != nil:
		q.settle(w, "", "", false, w.unfinished(context.Cause(q.ctx)))
	case isEnded(ctx, err) && len(w.needs) == 0: // nothing needs it any more
	case errors.Is(err, errReread):
		w.reread++
		q.reportWait(w, 0, &failure{side: atSource, origin: w.origin, err: err})
		q.advance(w)
		return
	case isEnded(ctx, err), errors.Is(err, errTaken), errors.Is(err, errDrained):
		q.advance(w)
		return
	case errors.Is(err, errUnspooled):
		w.unspooled = true
		q.advance(w)
		return
	case !f.final && !q.draining && errors.Is(err, content.ErrUnconfirmed):
		if w.unconfirmed.IsZero() {
			w.unconfirmed = time.Now()
			q.reportWait(w, confirmEvery, f)
		}
		q.pause(w, confirmEvery)
		return
	case errors.Is(err, errIncomplete):
		w.unconfirmed = time.Time{}
		q.advance(w)
		return
	case errors.Is(err, errCommitting):
		q.pause(w, w.nextLook())
		return
	case unsent(f): // the limiter makes the next attempt wait
		q.advance(w)
		return
	case pause && f.side == atSource && it.supply.dropOrigin(f):
		q.advance(w)
		return
	case pause: // too long for this run
		q.settle(w, "", "", false, f)
	case down && !q.answersOthers(it, f):
		q.advance(w)
		return
	case it.registry.noteRefusal(w.repository, f):
		q.refuseAll(it.registry)
	case q.scheduleRetry(w, f, took):
		return
	default:
		q.keep(it, f)
		q.settle(w, "", "", false, f)
	}
	q.endLead(w)
}

// unsent reports whether a request was not sent because its registry is paused for a short time.
func unsent(f *failure) bool {
	p, ok := errors.AsType[*limit.PauseError](f.err)
	return ok && p.Err == nil && time.Until(p.Until) <= retry.MaxRetryAfter
}

// limiterError reports whether the limiter refused. pause: the registry is paused
// for long, or was given up. down: the limiter will make the next attempt wait.
func (q *Queue) limiterError(f *failure) (pause, down bool) {
	if p, ok := errors.AsType[*limit.PauseError](f.err); ok {
		long := time.Until(p.Until) > retry.MaxRetryAfter
		return long, !long
	}
	if d, ok := errors.AsType[*limit.DownError](f.err); ok {
		return d.GivenUp, !d.GivenUp
	}
	if f.registry == "" || !retry.Retryable(f.err) {
		return false, false
	}
	givenUp := q.options.Limiter.GivenUp(f.registry) // the attempt was a test, and its failure is final
	return givenUp, !givenUp && q.options.Limiter.Down(f.registry)
}

// answersOthers reports whether a registry that is down has answered other requests since the last failure of an item, so that
// the failure is the item's: a registry whose disk is full answers all but uploads.
func (q *Queue) answersOthers(it *item, f *failure) bool {
	last := it.uncounted
	if _, unsent := errors.AsType[*limit.DownError](f.err); unsent {
		return false
	}
	it.uncounted = time.Now()
	return !last.IsZero() && q.options.Limiter.AnsweredSince(f.registry, last)
}

// maxShrunk bounds the attempts of a want that use no budget because they send smaller requests. A place
// needs about four to find a size that passes.
const maxShrunk = 8

// scheduleRetry pauses a want until its next attempt, or leaves that to the next run. It reports false if none is left.
func (q *Queue) scheduleRetry(w *want, f *failure, took time.Duration) bool {
	if f.final || !f.dropped && !retry.Retryable(f.err) {
		return false
	}
	cause := f.err
	if f.dropped {
		cause = io.ErrUnexpectedEOF // a session that is gone is like a connection that broke
	}
	wait, again := time.Duration(0), errors.Is(f.err, content.ErrTooLarge) && w.shrunk < maxShrunk
	if again {
		w.shrunk++
	} else {
		wait, again = w.item.budget.Failed(cause, took)
	}
	if !again {
		return false
	}
	if w.last = f; q.draining {
		q.settle(w, "", "", false, w.unfinished(q.options.Draining))
		return true
	}
	q.reportWait(w, wait, f)
	q.pause(w, wait)
	return true
}

// unfinished returns the failure of a want that the end of the run keeps from another attempt.
func (w *want) unfinished(ended error) *failure {
	if w.last == nil {
		return &failure{err: ended}
	}
	f := *w.last
	f.err = &retry.NotRetriedError{Err: f.err, Ended: ended}
	return &f
}

// reportWait tells the observer that a want waits after a failure. q.mu is held.
func (q *Queue) reportWait(w *want, wait time.Duration, f *failure) {
	attempt, cause := w.item.budget.Attempts()+w.shrunk+w.reread, q.attribute(f, w.origin, w.place)
	q.afterUnlock = append(q.afterUnlock, func() {
		q.options.Observer.BlobRetrying(w.place.Ref, w.item.blob, attempt, wait, cause)
	})
}

// nextLook is the time to the next check for a blob whose place may be committing it. q.mu is held.
func (w *want) nextLook() time.Duration {
	if w.broken == nil {
		return firstLook
	}
	return min(max(time.Since(w.broken.completeSince)/2, firstLook), confirmEvery)
}

// pause makes a want wait for its next attempt. It holds no slot meanwhile.
func (q *Queue) pause(w *want, wait time.Duration) {
	w.state = pausing
	q.running.Add(1)
	w.timer = time.AfterFunc(wait, func() {
		defer q.running.Done()
		q.lock()
		defer q.unlock()
		if w.state == pausing {
			w.state, w.timer = idle, nil
			q.advance(w)
			q.retire(w.item)
		}
	})
}

// settle ends a want and all of its needs.
func (q *Queue) settle(w *want, outcome Outcome, from string, moved bool, f *failure) {
	for i, n := range w.needs {
		var err error
		if f != nil {
			err = q.attribute(f, n.delivery.origin, n.delivery.place)
		}
		if i > 0 && outcome != "" {
			outcome, from = Exists, "" // only the first delivery reports the transfer
		}
		n.settle(outcome, from, moved, err)
	}
	w.needs = nil
	q.drop(w)
}

func (q *Queue) drop(w *want) {
	if it := w.item; it.wants[w.repository] == w {
		delete(it.wants, w.repository)
	}
	q.endLead(w)
}

// endLead ends the lead, the stream, a broken upload and the retained bytes of a want, and wakes the wants that wait for it.
func (q *Queue) endLead(w *want) {
	continuation{q, w}.abandon()
	discardRetained(q, w)
	it := w.item
	if it.leader == w {
		it.leader = nil
	}
	it.supply.endStream(q, w)()
	q.wake(it)
}

func (q *Queue) wake(it *item) {
	parked := it.parked
	it.parked = nil
	for _, w := range parked {
		q.advance(w)
	}
}

// stop ends the wait of a want for slots or for its next attempt. The want is then idle, unless it is running.
func (q *Queue) stop(w *want) {
	switch {
	case w.state == queued && q.options.Limiter.Withdraw(w.stream),
		w.state == pausing && w.timer.Stop():
		q.running.Done()
		w.state, w.stream, w.timer = idle, nil, nil
	}
}

// withdraw removes a need from a want. A want without needs is dropped; a running one is cancelled if interrupted is set.
func (q *Queue) withdraw(w *want, n *need, interrupted bool) {
	if w == nil {
		return
	}
	w.needs = slices.DeleteFunc(w.needs, func(other *need) bool { return other == n })
	if len(w.needs) > 0 {
		return
	}
	q.stop(w)
	switch w.state {
	case idle:
		q.drop(w)
	case running:
		if interrupted {
			w.cancel()
		}
	case queued, pausing: // about to run, and will end by itself
	}
}

// maxFailures bounds the items whose failures are kept.
const maxFailures = 10_000

// keep remembers why an item failed, so that later images fail at once with the same cause.
// A permanent failure of an origin is not kept: another image may have another origin.
func (q *Queue) keep(it *item, f *failure) {
	lost := f.side == atSource && !retry.Retryable(f.err) || errors.Is(f.err, errNoOrigin)
	if !lost && len(q.failures) < maxFailures {
		q.failures[itemKey{idOf(it.blob), it.registry}] = f
	}
}

// refuseAll ends the waiting wants of refused repositories.
func (q *Queue) refuseAll(r *registry) {
	for _, it := range q.items {
		if it.registry != r {
			continue
		}
		for _, w := range slices.Collect(maps.Values(it.wants)) {
			if r.refusal(w.repository) != nil {
				q.stop(w)
				q.advance(w)
			}
		}
	}
}
