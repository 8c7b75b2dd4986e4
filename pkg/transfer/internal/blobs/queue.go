package blobs

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/regsync/regsync/pkg/content"
	"github.com/regsync/regsync/pkg/limit"
	"github.com/regsync/regsync/pkg/retry"
	"github.com/regsync/regsync/pkg/transfer/internal/spool"
)

// groupSize is how many deliveries, in the file's order, are one group: within it the blobs
// with the most to gain go first, whatever their order.
const groupSize = 32

const (
	// confirmEvery is the time between two questions for a blob whose commit was not
	// answered in time, and confirmFor when the last one is: object stores copy the blob.
	confirmEvery = 10 * time.Second
	confirmFor   = 15 * time.Minute
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
	leader       *want                // brings the bytes, for others to mount; nil if none
	parked       []*want              // wait for the leader, or for a manifest
	budget       *retry.Budget
}

// presence is a blob in a repository.
type presence struct {
	since      time.Time // when it was last seen; zero where a manifest refers to it
	committed  bool      // a manifest of this run refers to it
	put        bool      // this run has sent it there
	by         *Delivery // that has put it there; nil if it was there or has ended
	unverified bool      // the registry says that it is not there
}

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
	// unconfirmed is since when a commit has not been answered.
	unconfirmed time.Time
	// unspooled: its spool was given up; it is served later, without one.
	unspooled bool
}

// state is what a want does; a parked one is idle.
type state uint8

const (
	idle    state = iota
	queued        // waits for its slots
	running       // has them
	pausing       // waits for its next attempt
)

// item finds the item of a blob at a registry, or makes it. q.mu is held.
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

// retire shrinks an item that nothing needs any more to where it is. q.mu is held.
func (q *Queue) retire(it *item) {
	if it.needs > 0 || slices.ContainsFunc(wantsOf(it), func(w *want) bool { return w.state != idle }) {
		return
	}
	key := itemKey{idOf(it.blob), it.registry}
	if q.items[key] != it {
		return
	}
	delete(q.items, key)
	it.registry.locations.keep(it.blob.Digest, it.at)
	q.unsupply(it)
}

func wantsOf(it *item) []*want {
	wants := make([]*want, 0, len(it.wants))
	for _, w := range it.wants {
		wants = append(wants, w)
	}
	return wants
}

// advance decides what an idle want does next: it ends, is parked, or waits for its slots.
// q.mu is held.
func (q *Queue) advance(w *want) {
	if w.state != idle {
		return
	}
	from, next := q.decide(w)
	if next != proceed {
		return
	}
	w.state = queued
	stream := &limit.Stream{To: w.item.registry.peer, Group: w.order / groupSize, Weight: w.weight()}
	if from == "" && w.unconfirmed.IsZero() {
		stream.From = q.originPeer(w)
	}
	stream.Run = q.attempt(w, stream)
	w.stream = stream
	q.running.Add(1)
	q.options.Limiter.Enqueue(stream)
}

// decision is whether a want needs slots now.
type decision uint8

const (
	waits   decision = iota // ended, or parked until something changes
	proceed                 // with slots
)

// decide finds what is next for a want by what is known: mountFrom is a repository that it
// can be mounted from. q.mu is held.
func (q *Queue) decide(w *want) (mountFrom string, next decision) {
	it := w.item
	if len(w.needs) == 0 {
		q.drop(w)
		return "", waits
	}
	if p := it.at[w.repository]; p != nil && !p.unverified {
		q.settle(w, Exists, "", p.put, nil)
		return "", waits
	}
	if f := q.knownFailure(it, w.repository); f != nil {
		q.settle(w, "", "", false, f)
		return "", waits
	}
	if !w.unconfirmed.IsZero() {
		return "", proceed
	}
	if q.parkForTrial(w) {
		return "", waits
	}
	mountFrom, wait := it.mountable(w)
	switch {
	case mountFrom != "":
		return mountFrom, proceed
	case q.draining && (it.leader == nil || !it.leader.moving || !it.registry.shares(w.place.Target)):
		q.settle(w, "", "", false, &failure{err: q.options.Draining})
		return "", waits
	case wait || it.leader != nil && it.leader != w && it.registry.shares(w.place.Target):
		it.parked = append(it.parked, w)
		return "", waits
	case it.supply.streaming != nil && !isRereadable(w.origin.Source):
		it.supply.parked = append(it.supply.parked, w)
		return "", waits
	}
	if it.leader == nil {
		it.leader = w
	}
	return "", proceed
}

// weight is how soon a stream goes, within its group: what is large and needed in many
// places goes first.
func (w *want) weight() int64 {
	places := 0
	for _, it := range w.item.supply.items {
		places += len(it.wants)
	}
	return w.item.blob.Size * int64(max(1, places))
}

// attempt is what a want's stream does with its slots, or with err, why it gets none.
func (q *Queue) attempt(queued *want, stream *limit.Stream) func(*limit.Slots, error) {
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
		began := time.Now()
		var done completion
		if err == nil {
			done, err = q.move(ctx, w, slots)
		} else {
			err = q.atPeer(w, err)
		}
		if err == nil {
			q.complete(w, done)
		} else {
			q.fail(ctx, w, err, time.Since(began))
		}
	}
}

// begin makes a queued want a running one, unless what it was queued for has changed. One
// that leads leaves that to the first, in the file's order, of those that wait for it.
func (q *Queue) begin(w *want, stream *limit.Stream, cancel context.CancelFunc) *want {
	q.lock()
	defer q.unlock()
	if w.stream != stream || w.state != queued {
		return nil
	}
	w.state, w.stream = idle, nil
	if _, next := q.decide(w); next != proceed {
		q.retire(w.item)
		return nil
	}
	it := w.item
	if it.leader == w {
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

// completion is how a blob came to be in a repository.
type completion struct {
	outcome Outcome
	from    string
}

// complete notes that a blob is in a repository and lets those go on that waited for it.
func (q *Queue) complete(w *want, a completion) {
	q.lock()
	defer q.unlock()
	w.state = idle
	it := w.item
	before := it.at[w.repository]
	p := &presence{since: time.Now(), put: a.outcome == Sent || before != nil && before.put}
	if a.outcome == Sent && len(w.needs) > 0 {
		p.by = w.needs[0].delivery
	}
	it.at[w.repository] = p
	if s := it.supply; !slices.ContainsFunc(s.itemsOf(), (*item).lacking) {
		s.leaveFilling(s.filling)
	}
	q.settle(w, a.outcome, a.from, a.outcome != Exists, nil)
	q.endTrial(w)()
	q.endLead(w)
	q.retire(it)
}

// fail decides what becomes of a want whose attempt failed.
func (q *Queue) fail(ctx context.Context, w *want, err error, took time.Duration) {
	q.lock()
	defer q.unlock()
	w.state = idle
	it := w.item
	wakeStream, wakeTrial := it.supply.endStream(q, w), q.endTrial(w)
	defer q.retire(it)
	defer wakeStream()
	defer wakeTrial()
	f := failureOf(err)
	pause, down := q.limiterError(f)
	switch {
	case q.ctx.Err() != nil:
		q.settle(w, "", "", false, &failure{err: context.Cause(q.ctx)})
	case isEnded(ctx, err) && len(w.needs) == 0: // nothing needs it any more
	case isEnded(ctx, err), errors.Is(err, errTaken), errors.Is(err, errReread), errors.Is(err, errDrained):
		q.advance(w)
		return
	case errors.Is(err, spool.ErrAbandoned):
		w.unspooled = true
		q.advance(w)
		return
	case errors.Is(err, content.ErrUnconfirmed):
		if w.unconfirmed.IsZero() {
			w.unconfirmed = time.Now()
		}
		q.pause(w, confirmEvery)
		return
	case pause && f.side == atSource && q.dropOrigin(it.supply, f):
		q.advance(w)
		return
	case pause: // for so long that it is left to the next run
		q.settle(w, "", "", false, f)
	case down:
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

// limiterError reports whether a failure is one of the limiter: pause, where a registry is to be left
// alone for long or is given up, and down, where the limiter makes the next attempt wait.
func (q *Queue) limiterError(f *failure) (pause, down bool) {
	if p, ok := errors.AsType[*limit.PauseError](f.err); ok {
		long := time.Until(p.Until) > retry.MaxRetryAfter
		return long, !long
	}
	if d, ok := errors.AsType[*limit.DownError](f.err); ok {
		return d.GivenUp, !d.GivenUp
	}
	return false, f.registry != "" && retry.Retryable(f.err) && q.options.Limiter.Down(f.registry)
}

// scheduleRetry lets a want pause until its next attempt, if its item has one left.
func (q *Queue) scheduleRetry(w *want, f *failure, took time.Duration) bool {
	if f.final || !f.dropped && !retry.Retryable(f.err) {
		return false
	}
	cause := f.err
	if f.dropped {
		cause = io.ErrUnexpectedEOF // a session that is gone is like a connection that broke
	}
	wait, again := w.item.budget.Failed(cause, took)
	if !again || q.draining {
		return false
	}
	attempt, told := w.item.budget.Attempts(), q.attribute(f, w.origin, w.place)
	q.afterUnlock = append(q.afterUnlock, func() {
		q.options.Observer.BlobRetrying(w.place.Ref, w.item.blob, attempt, wait, told)
	})
	q.pause(w, wait)
	return true
}

// pause lets a want wait for its next attempt, holding nothing.
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

// settle ends all needs of a want, and the want.
func (q *Queue) settle(w *want, outcome Outcome, from string, moved bool, f *failure) {
	for i, n := range w.needs {
		var err error
		if f != nil {
			err = n.delivery.attribute(f)
		}
		if i > 0 && outcome != "" {
			outcome, from = Exists, "" // the first delivery's work
		}
		n.settle(outcome, from, moved, err)
	}
	w.needs = nil
	q.drop(w)
}

// drop forgets a want that nothing needs.
func (q *Queue) drop(w *want) {
	if it := w.item; it.wants[w.repository] == w {
		delete(it.wants, w.repository)
	}
	q.endLead(w)
}

// endLead ends the lead of a want, and lets those that wait go on.
func (q *Queue) endLead(w *want) {
	it := w.item
	if it.leader == w {
		it.leader = nil
	}
	it.supply.endStream(q, w)()
	q.wake(it)
}

// wake lets parked wants look again.
func (q *Queue) wake(it *item) {
	parked := it.parked
	it.parked = nil
	for _, w := range parked {
		q.advance(w)
	}
}

// stop ends the waiting of a want for slots or for its next attempt. It is idle then, unless
// it runs.
func (q *Queue) stop(w *want) {
	switch {
	case w.state == queued && q.options.Limiter.Withdraw(w.stream),
		w.state == pausing && w.timer.Stop():
		q.running.Done()
		w.state, w.stream, w.timer = idle, nil, nil
	}
}

// withdraw takes back a need. A want without needs is withdrawn; one that runs ends, where it is
// interrupted.
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
	case queued, pausing: // it is about to look
	}
}
